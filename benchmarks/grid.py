"""A whole grid in trainings, operations and device-hours: as xstilts plans it, and as scripts run it cell by cell.

    python -m benchmarks.grid [STUDY=phang2020] [--tflops 400]
    python -m benchmarks.grid --measure-lengths DATA --tokenizer MODEL     # renews task_lengths.json

Nothing is run and no data is needed: rows are the published counts, lengths are those of real rows (``task_lengths.json``,
XLM-R's sub-words). Three ways to do the same cells (model, arm, target, seed):

* xstilts: every distinct piece of work once, real sub-words only, layers above a calibrated one not run;
* scripts: intermediate models are kept, all else is done for each cell, sequences padded to the task's maximum;
* cell by cell: intermediate training too is done for each cell.

All of them at one sustained rate, so the ratios are about work, not about speed. Early stopping is left out everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from xstilts import tasks
from xstilts.graph.node import Node
from xstilts.journey import read_study
from xstilts.model_source import ModelSource
from xstilts.models.encoder import Encoder
from xstilts.models.flops import forward_flops
from xstilts.models.loading import load_tokenizer
from xstilts.models.packed_attention import NAME
from xstilts.plan.plan import Plan
from xstilts.plan.planner import make_plan
from xstilts.rows import without_gold
from xstilts.task_types import Retrieval
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.tasks.task import Task

LENGTHS = Path(__file__).parent / "task_lengths.json"
MEASURED_ROWS = 500
STAND_INS = {"anli_plus": "mnli", "ccg": "udpos", "qqp": "pawsx"}
"""Whose lengths are taken for tasks without enough real rows at hand."""
ROWS = {  # where a task declares no counts: FACTS 1.1 and 2.1, the first and last recalled
    ("ccg", "train"): 38_015,
    ("udpos", "test"): 5_000,
    ("udpos", "dev"): 1_500,
    ("panx", "dev"): 10_000,
    ("panx", "test"): 10_000,
    ("tydiqa", "test"): 564,
}
POOLS = {  # sentences of both sides
    ("bucc2018", "test"): {"de": 813_206, "fr": 641_684, "ru": 1_019_259, "zh": 183_497},
    ("bucc2018", "dev"): dict.fromkeys(("de", "fr", "ru", "zh"), 22_213),
}
BACKWARD = 2  # times the operations of the forward pass


class Published(DataFolder):
    """Every file that every task names, in its first layout, as if it were there."""

    def files(self, task: Task, split: str, language: str) -> tuple[Path, ...]:
        """Names without files; the planner wants no more."""
        has_rows = language in (task.languages if split != "train" else ("en",))
        layouts = task.files.get(split, ())
        return (
            tuple(Path(f"{task.name}/{split}-{language}-{i}") for i in range(len(layouts[0])))
            if has_rows and layouts
            else ()
        )

    def gold_files(self, task: Task, split: str, language: str) -> tuple[Path, ...]:
        """Gold is there for everything."""
        return (Path(f"{task.name}/{split}-{language}-gold"),) if self.files(task, split, language) else ()


@dataclass(frozen=True)
class Length:
    """Sequences of a row (windows, choices) and their sub-words."""

    sequences: float
    mean: float
    mean_square: float


@dataclass(frozen=True)
class Costs:
    """Operations of a node: on real sub-words, and padded to the maximum."""

    real: float
    padded: float


class Pricing:
    """What nodes cost with one encoder."""

    def __init__(self, encoder: Encoder, lengths: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        one = forward_flops(encoder, [1])
        assert one is not None
        self.num_layers = encoder.num_layers
        self.quadratic = 4 * encoder.hidden_size * encoder.num_layers
        self.linear = one - self.quadratic
        self._lengths = lengths

    def forward(self, rows: float, length: Length, most: int) -> Costs:
        """Of so many rows."""
        real = self.linear * length.mean + self.quadratic * length.mean_square
        return Costs(
            rows * length.sequences * real, rows * length.sequences * (self.linear + self.quadratic * most) * most
        )

    def length(self, task: str, split: str, language: str) -> Length:
        """Of a task's rows; the mean over its other languages where this one was not to be had."""
        of_task = self._lengths[STAND_INS.get(task, task)]
        of_split = of_task.get(split) or next(iter(of_task.values()))
        found = [of_split[language]] if language in of_split else list(of_split.values())
        return Length(
            *(statistics.fmean(each[name] for each in found) for name in ("sequences", "mean", "mean_square"))
        )

    def node(self, node: Node) -> Costs:
        """Of a node of the plan; scores and calibrations run no encoder."""
        spec = node.spec
        match node.kind:
            case "train":
                return self._training(spec)
            case "predict" | "retrieve":
                return self._evaluation(spec)
        return Costs(0, 0)

    def _training(self, spec: Mapping[str, Any]) -> Costs:
        settings, most = spec["training"], spec["encoding"]["max_length"]
        rows = min(rows_of(spec["task"], "train", spec["source"]), spec["rows"] or float("inf"))
        length = self.length(spec["task"], "train", spec["source"])
        found = [self.forward(rows * settings["epochs"] * (1 + BACKWARD), length, most)]
        if settings["selection"] == "dev":
            looks = settings["epochs"] * settings["evaluations_per_epoch"]
            found.append(self.forward(looks * settings["selection_rows"], length, most))
        return Costs(sum(each.real for each in found), sum(each.padded for each in found))

    def _evaluation(self, spec: Mapping[str, Any]) -> Costs:
        task, split, real, padded = spec["task"], spec["split"], 0.0, 0.0
        for language in spec["languages"]:
            length = self.length(task, split, language)
            found = self.forward(rows_of(task, split, language), length, spec["encoding"]["max_length"])
            real += found.real * (14 / 24 if spec.get("layers") == "calibrated" else 1)
            # Retrieval scripts pad to the longest of a batch, which is unknown here: counted as if they did not.
            padded += found.real if "layers" in spec else found.padded
        return Costs(real, padded)


def rows_of(task: str, split: str, language: str) -> float:
    """Published rows; sentences of both sides for retrieval."""
    if (task, split) in POOLS:
        return POOLS[task, split][language]
    counts = tasks.load(task).counts.get(split, {})
    rows = counts.get(language) or ROWS.get((task, split)) or statistics.fmean(counts.values())
    return rows * (2 if task == "tatoeba" else 1)


def plan_of(name: str) -> Plan:
    """The study's plan over published files and XLM-R Large."""
    study = read_study(Path(name))
    models = [ModelSource(model, Path(model), model, "xlm-roberta", 24) for model in study.models]
    return make_plan(study, Published(Path()), models, precision="bf16", digest=_digest)


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()


def encoder_of(hidden: int, layers: int, heads: int, inner: int) -> Encoder:
    """An encoder without weights: counted, not run."""
    config = XLMRobertaConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        attn_implementation=NAME,
    )
    with torch.device("meta"):
        return Encoder(XLMRobertaModel(config, add_pooling_layer=False))


@dataclass(frozen=True)
class Way:
    """One way to get all cells."""

    name: str
    trainings: int
    evaluations: int
    training_flops: float
    evaluation_flops: float

    @property
    def flops(self) -> float:
        """All of it."""
        return self.training_flops + self.evaluation_flops


def ways(plan: Plan, pricing: Pricing) -> Iterator[Way]:
    """The three, and what each part of the saving is worth."""
    every = {node.key: node for node in plan.graph}
    costs = {key: pricing.node(node) for key, node in every.items()}
    cells: dict[tuple[Any, ...], set[str]] = {}
    for cell in plan.cells:
        place = (cell.model, cell.arm, cell.target, cell.seed)
        cells.setdefault(place, set()).update(_ancestors(every, cell.key))
    once = list(every)
    apart = [key for keys in cells.values() for key in keys]
    shared = {key for key in apart if every[key].labels.get("role") == "intermediate"}
    kept = [*shared, *(key for key in apart if key not in shared)]
    for name, keys, padded in (
        ("xstilts", once, False),
        ("xstilts, were it padded", once, True),
        ("scripts", kept, True),
        ("cell by cell", apart, True),
    ):
        found = {kinds: [k for k in keys if every[k].kind in kinds] for kinds in (("train",), ("predict", "retrieve"))}
        flops = [sum(costs[k].padded if padded else costs[k].real for k in of) for of in found.values()]
        yield Way(name, *(len(of) for of in found.values()), *flops)


def _ancestors(nodes: Mapping[str, Node], key: str) -> Iterator[str]:
    yield key
    for parent in nodes[key].parents.values():
        yield from _ancestors(nodes, parent)


def measure_lengths(data: Path, tokenizer_folder: Path) -> dict[str, Any]:
    """Sequences and sub-words of real rows, by task, split and language."""
    tokenizer, folder = load_tokenizer(tokenizer_folder), DataFolder(data)
    found: dict[str, Any] = {}
    for task in (*tasks.targets(), *tasks.intermediate()):
        for split in task.files:
            for language in folder.languages(task, split):
                rows = _rows(task, read_examples(task, folder.files(task, split, language), language))
                lengths = task.type.encode(rows, tokenizer, task.encoding).lengths.tolist()
                found.setdefault(task.name, {}).setdefault(split, {})[language] = {
                    "rows": len(rows),
                    "sequences": round(len(lengths) / len(rows), 3),
                    "mean": round(statistics.fmean(lengths), 2),
                    "mean_square": round(statistics.fmean(n * n for n in lengths), 1),
                }
    return found


def _rows(task: Task, examples: Sequence[Any]) -> list[Any]:
    """The first rows; of a bitext, the first sentences of both sides."""
    if isinstance(task.type, Retrieval):
        return [text for e in examples for side in (e.queries, e.candidates) for text in side[:MEASURED_ROWS]]
    return without_gold(examples[:MEASURED_ROWS])


def main() -> None:
    """Print the table, or renew the lengths."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("study", nargs="?", default="phang2020")
    made.add_argument("--tflops", type=float, default=400, help="sustained, of all ways; in 10^12 operations a second")
    made.add_argument("--measure-lengths", type=Path, metavar="DATA")
    made.add_argument("--tokenizer", type=Path, metavar="MODEL")
    arguments = made.parse_args()
    if arguments.measure_lengths:
        lengths = measure_lengths(arguments.measure_lengths, arguments.tokenizer)
        LENGTHS.write_text(json.dumps(lengths, indent=1) + "\n", encoding="utf-8")
        return
    if not LENGTHS.is_file():
        made.error(f"{LENGTHS.name} is not there: make it with --measure-lengths DATA --tokenizer MODEL")
    pricing = Pricing(encoder_of(1024, 24, 16, 4096), json.loads(LENGTHS.read_text(encoding="utf-8")))
    found = list(ways(plan_of(arguments.study), pricing))
    print(f"{arguments.study}, XLM-R Large, {arguments.tflops:g} TFLOP/s sustained\n")
    print("| way | trainings | evaluations | training, h | evaluation, h | all, h | times xstilts |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    hour = arguments.tflops * 1e12 * 3600
    for way in found:
        hours = (way.training_flops / hour, way.evaluation_flops / hour, way.flops / hour)
        shown = " | ".join(f"{each:,.1f}" for each in hours)
        print(f"| {way.name} | {way.trainings} | {way.evaluations} | {shown} | {way.flops / found[0].flops:.2f} |")


if __name__ == "__main__":
    main()
