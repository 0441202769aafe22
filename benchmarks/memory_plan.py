"""The memory plan against measured peaks: ``python -m benchmarks.memory_plan [--quick] [--out STEM]``.

Each case is a node of a real study (XNLI's shape of task, made-up rows, a model of a named shape with random weights),
planned as ``xstilts plan --memory`` plans it and run by the code that ``xstilts run`` runs, in a fresh process. The peak is
that of the process's own memory (RssAnon of /proc/PID/status), looked at every few milliseconds from outside; pages of files,
which the system can take back, are written down apart. A case agrees within ``BAR``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from benchmarks.measure import environment
from benchmarks.random_encoder import whole_words
from xstilts.graph.digests import Digests
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress
from xstilts.memory.check import model_in
from xstilts.memory.need import GIB, Need
from xstilts.memory.nodes import distinct_subwords, how_of, needs
from xstilts.model_source import find_model
from xstilts.models.random_weights import write_random_model
from xstilts.models.scratch import write_tokenizer
from xstilts.plan import Plan, make_plan
from xstilts.shapes import shape_config
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

BAR = 0.15
EVERY_SECONDS = 0.004
LABELS = ("entailment", "neutral", "contradiction")
SEED = 7
EPOCH = 16
STEPS = 2
"""The second update is the first with moments beside activations: the fullest there is."""


@dataclass(frozen=True)
class Case:
    """One node to measure.

    Args:
        shape: a named one, or ``e5-small``.
        kind: of node: ``train``, ``predict`` or ``generate``.
        batch: examples of a step.
        length: sub-words of every sequence: the plan counts all as long as the longest may be.
        tokens: sub-words in one forward pass.
        layers: fewer than the shape has.
        selection: ``dev`` keeps a copy of the best weights.
        checkpoints: whether a checkpoint is written after every step.
        lora: how adapters are trained instead of the weights.
        stream: whether weights are streamed.
        optimizer: of a text-to-text model; its step is ``batch`` times ``length`` sub-words.
    """

    shape: str
    kind: str
    batch: int = 32
    length: int = 128
    tokens: int = 4096
    layers: int | None = None
    selection: str = "last"
    precision: str = "fp32"
    checkpoints: bool = False
    lora: dict[str, Any] | None = None
    stream: bool = False
    optimizer: str = ""

    @property
    def writes(self) -> bool:
        """Whether it is a text-to-text model that learns or writes."""
        return self.shape.startswith("mt5")

    @property
    def name(self) -> str:
        """For people."""
        layers = f" ({self.layers} layers)" if self.layers else ""
        ways = [self.precision, f"{self.batch} x {self.length}", f"{self.tokens} a pass"]
        ways += ["dev selection"] if self.selection == "dev" else []
        ways += ["checkpoints"] if self.checkpoints else []
        ways += ["streamed"] if self.stream else []
        ways += [self.optimizer] if self.optimizer else []
        ways += ["LoRA " + " ".join(f"{name} {value}" for name, value in self.lora.items())] if self.lora else []
        return f"{self.shape}{layers} {self.kind}, {', '.join(ways)}"


CASES = (
    Case("e5-small", "predict"),
    Case("xlm-r-base", "predict"),
    Case("xlm-r-large", "predict"),
    Case("e5-small", "train"),
    Case("xlm-r-base", "train", batch=8, length=384, tokens=1536, selection="dev"),
    Case("xlm-r-large", "train", batch=8, tokens=512),
    Case("e5-small", "train", batch=64, tokens=2048, selection="dev", checkpoints=True),
    Case("xlm-r-base", "train"),
    Case("e5-small", "train", lora={"rank": 16}),
    Case("xlm-r-base", "train", batch=8, length=384, tokens=1536, lora={"rank": 16, "dropout": 0.05}),
    Case("xlm-r-large", "train", batch=8, tokens=512, lora={"rank": 16}),
    Case("e5-small", "predict", stream=True),
    Case("xlm-r-base", "predict", stream=True),
    Case("xlm-r-large", "predict", stream=True),
    Case("mt5-small", "train", batch=16, tokens=1024, optimizer="adafactor"),
    Case("mt5-base", "train", batch=8, tokens=1024, optimizer="adafactor"),
    Case("mt5-small", "train", batch=8, length=256, tokens=2048, optimizer="adamw"),
    Case("mt5-small", "generate"),
    Case("mt5-base", "generate"),
    Case("mt5-large", "generate", length=256),
)
QUICK = (
    Case("tiny", "train", batch=16, tokens=1024),
    Case("tiny", "train", batch=16, tokens=1024, lora={"rank": 8}),
    Case("tiny", "predict"),
    Case("tiny", "predict", stream=True),
    Case("mt5-tiny", "train", batch=16, tokens=1024, optimizer="adafactor"),
    Case("mt5-tiny", "generate"),
)
WRITTEN = 32
"""Sub-words of an answer: a model that has learned nothing never ends one."""


def config_of(case: Case) -> dict[str, Any]:
    """multilingual-e5-small has XLM-R's vocabulary under a smaller BERT; ``tiny`` is for a quick look."""
    if case.shape == "mt5-tiny":
        return {**shape_config("mt5-small", case.layers or 2), "vocab_size": 20_000}
    if case.shape in ("e5-small", "tiny"):
        config = shape_config("xlm-r-base", case.layers or (12 if case.shape == "e5-small" else 2))
        sizes = {"hidden_size": 384, "intermediate_size": 1536}
        return {**config, **(sizes if case.shape == "e5-small" else {**sizes, "vocab_size": 20_000})}
    return shape_config(case.shape, case.layers)


def prepare(case: Case, home: Path, tokenizer: Path | None) -> Plan:
    """The model, its rows and the plan, all under ``home``."""
    config, folder = config_of(case), home / "words" if tokenizer is None else tokenizer
    if tokenizer is None:
        folder.mkdir()
        write_tokenizer(folder, whole_words(config["vocab_size"]), 512)
    write_random_model(home / "model", config, SEED, tokenizer=folder)
    pieces = [
        piece for piece, _ in json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    ]
    words = [piece[1:] for piece in pieces if len(piece) > 2 and piece[0] == "▁" and piece[1:].isalpha()]
    rows = home / "data" / "xnli"
    rows.mkdir(parents=True)
    draws = np.random.default_rng(SEED)
    answered = case.tokens // case.length * (1 if case.writes else 5)  # what is written takes long
    for split, count in (("train", EPOCH * case.batch), ("dev", 32), ("test", answered)):
        text = "\n".join(_rows(draws, count, case.length, words))
        (rows / f"{split}-en.tsv").write_text(text + "\n", encoding="utf-8")
    raw = {
        "name": "memory",
        "models": {"m": {"path": str(home / "model"), "run": "text_to_text" if case.writes else None}},
        "arms": {"none": {}},
        "targets": ["xnli"],
        "languages": ["en"],
        "splits": ["test"],
        "seeds": [SEED],
        **settings_of(case),
    }
    study, digests = parse_study(raw), Digests(home / "digests.json")
    found = [find_model(name, of, digests.digest) for name, of in study.models.items()]
    return make_plan(study, DataFolder(home / "data"), found, precision=case.precision, digest=digests.digest)


def settings_of(case: Case) -> dict[str, Any]:
    """How the study trains and encodes."""
    training: dict[str, Any] = {"max_steps": STEPS, "selection": case.selection, "selection_rows": 8}
    if case.writes:
        learned = {**training, "batch_tokens": case.batch * case.length, "optimizer": case.optimizer or "adafactor"}
        lengths = {"max_input_length": case.length, "max_target_length": WRITTEN}
        return {"text_to_text": {"training": {"target": learned}, "encoding": {"target": lengths}}}
    training["batch_size"], training["lora"] = case.batch, case.lora
    training["evaluations_per_epoch"] = EPOCH  # after each step: the best weights lie beside the next activations
    training["weight_decay"] = 0.01  # as in the published recipes: at the end the whole matrix decays, met or not
    return {"training": {"target": training}, "encoding": {"target": {"max_length": case.length}}}


def _rows(draws: np.random.Generator, count: int, length: int, words: list[str]) -> Iterator[str]:
    """Rows of two texts that fill the greatest length together, as rich in words as real text.

    Each word is a new one as often as Heaps' law has it, as it was fitted to real text for the plan, else one said before,
    those said often the most (Simon's process): how far that law itself is off is no question of memory, and not asked here.
    """
    size, half = count * length, length // 2
    met = [distinct_subwords(n, len(words)) for n in range(size + 1)]
    said = np.zeros(size, np.int64)
    for n in range(1, size):
        said[n] = met[n] - 1 if met[n] > met[n - 1] else said[draws.integers(n)]
    for i, row in enumerate(said.reshape(count, length)):
        first, second = (" ".join(words[n] for n in part) for part in (row[:half], row[half:]))
        yield f"{first}\t{second}\t{LABELS[i % 3]}"


def planned(case: Case, plan: Plan, node: Node, home: Path) -> Need:
    """What ``xstilts plan --memory`` says of the node."""
    how = replace(how_of("cpu", case.tokens), streaming=case.stream)
    found = needs(node, model_in(home / "model"), how, lambda sha256: Path(plan.files[sha256]).stat().st_size)
    assert found is not None
    return found


def run_in_child(request: dict[str, Any]) -> None:
    """What the measured process does: the node, by the same call as a worker's."""
    from xstilts.execute import execute

    node = Node.from_json(request["node"])
    parents = {role: Path(path) for role, path in request["parents"].items()}
    out = Path(request["out"])
    out.mkdir(parents=True)
    execute(node, parents, out, Resources(**request["resources"]), Progress(lambda event: None))


def watch(request: dict[str, Any]) -> dict[str, float]:
    """Run a request in a fresh process and watch its memory: the peak of its own, and of file pages at that moment."""
    command = [sys.executable, "-m", "benchmarks.memory_plan", "--child", json.dumps(request)]
    child, peak, pages = subprocess.Popen(command), 0, 0
    while child.poll() is None:
        found = _memory(child.pid)
        if found["RssAnon"] > peak:
            peak, pages = found["RssAnon"], found["RssFile"]
        time.sleep(EVERY_SECONDS)
    if child.returncode:
        sys.exit(f"the measured process ended with {child.returncode}")
    return {"own": peak, "file_pages": pages}


def _memory(pid: int) -> dict[str, int]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        text = ""
    found = re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", text)
    return {"RssAnon": 0, "RssFile": 0} | {name: int(kib) * 1024 for name, kib in found}


def measure(case: Case, threads: int, tokenizer: Path | None) -> dict[str, Any]:
    """Planned and measured."""
    with TemporaryDirectory(prefix="memory-plan-") as scratch:
        home = Path(scratch)
        plan = prepare(case, home, tokenizer)
        node = next(n for n in plan.graph if n.kind == case.kind)
        resources = Resources(plan.files, plan.models, "cpu", threads, threads, case.tokens)
        stream: Literal["always", "never"] = "always" if case.stream else "never"
        resources = replace(resources, checkpoint_seconds=0.0 if case.checkpoints else 1e6, stream=stream)
        request = {"node": node.as_json(), "parents": {}, "out": str(home / "out"), "resources": asdict(resources)}
        if node.parents:
            request["parents"] = {"model": str(home if case.writes else _answerable(home))}
        seen, need = watch(request), planned(case, plan, node, home)
    return {
        "case": case.name,
        **asdict(case),
        "planned_gib": need.bytes / GIB,
        "measured_gib": seen["own"] / GIB,
        "ratio": need.bytes / seen["own"],
        "within": abs(need.bytes / seen["own"] - 1) <= BAR,
        "file_pages_gib": seen["file_pages"] / GIB,
        "planned_mapped_gib": need.mapped / GIB,
        "moment": need.fullest,
        "parts_gib": {name: size / GIB for name, size in need.parts.items()},
    }


def _answerable(home: Path) -> Path:
    """The model with a new head, as a finished training leaves it; made in a process of its own."""
    code = (
        "import sys; from xstilts.models.model import Model; from xstilts.models.export import export; "
        "from xstilts.task_types import Head; from pathlib import Path; home = Path(sys.argv[1]); "
        f"export(Model.start(home / 'model', Head('pooled', 3, {LABELS!r})), home / 'trained' / 'model', 'xnli', "
        f"'classification', {LABELS!r})"
    )
    subprocess.run([sys.executable, "-c", code, str(home)], check=True)
    return home / "trained"


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """The record for people."""
    yield "| case | planned | measured | planned / measured | mapped: planned | seen | fullest moment |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for of in records:
        numbers = (
            f"{of['planned_gib']:.2f} | {of['measured_gib']:.2f} | {of['ratio']:.2f}{'' if of['within'] else ' (!)'}"
        )
        pages = f"{of['planned_mapped_gib']:.2f} | {of['file_pages_gib']:.2f}"
        yield f"| {of['case']} | {numbers} | {pages} | {of['moment']} |"


def write(record: dict[str, Any], stem: Path, tokenizer: str) -> None:
    """Put a case into the record, in the place of an earlier measurement of it."""
    path = stem.with_suffix(".json")
    kept = json.loads(path.read_text())["cases"] if path.is_file() else []
    by_name = {each["case"]: each for each in [*kept, record]}
    cases = [by_name[case.name] for case in (*CASES, *QUICK) if case.name in by_name]
    date = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"date": date, "seed": SEED, "bar": BAR, "tokenizer": tokenizer}
    path.write_text(json.dumps({**about, **environment(), "cases": cases}, indent=1) + "\n")
    asked = " --tokenizer XLMR" if tokenizer == "real" else ""
    command = f"`python -m benchmarks.memory_plan{asked} --out STEM [--only TEXT]`; one run of each case."
    title = f"# The memory plan against measured peaks ({date[:10]})"
    head = [title, "", command, "", (__doc__ or "").split("\n\n")[1], ""]
    stem.with_suffix(".md").write_text("\n".join([*head, *table(cases), "", *by_part(cases), ""]))


def by_part(records: list[dict[str, Any]]) -> Iterator[str]:
    """What each plan is made of at its fullest moment."""
    yield "| case | parts as planned, GiB |"
    yield "|---|---|"
    for of in records:
        held = ", ".join(f"{name} {size:.2f}" for name, size in of["parts_gib"].items() if size >= 0.005)
        yield f"| {of['case']} | {held} |"


def main() -> None:
    """Measure all cases, or one in a child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny models only")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokenizer", type=Path, help="folder of a real one (XLM-R's); default: of made-up words")
    parser.add_argument("--out", type=Path, help="puts each case into STEM.json and STEM.md")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return run_in_child(json.loads(arguments.child))
    for case in QUICK if arguments.quick else CASES:
        if arguments.only in case.name:
            record = measure(case, arguments.threads, arguments.tokenizer)
            print("\n".join(table([record])).splitlines()[-1], json.dumps(record["parts_gib"]), flush=True)
            if arguments.out is not None:
                write(record, arguments.out, "real" if arguments.tokenizer else "made")
    return None


if __name__ == "__main__":
    main()
