"""One known output of every kind of node: a kind whose output moves needs a new version, or old results are reused wrongly.

The files are renewed by ``XSTILTS_RENEW_GOLDEN=1 python -m pytest tests/test_golden_outputs.py``. Floats are rounded: another
CPU may differ in their last digits.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tiny_text_models import text_folder
from tiny_world import tiny_data, tiny_study
from xstilts.bench import once
from xstilts.device import fingerprint
from xstilts.execute import execute
from xstilts.graph.disk import digest_file
from xstilts.graph.node import VERSIONS, Node, Resources
from xstilts.graph.worker import Progress
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.scoring import read_rows
from xstilts.shapes import SHAPES, shape_config
from xstilts.study import parse_study
from xstilts.tasks.folder import DataFolder

GOLDEN = Path(__file__).parent / "golden"
RENEW = "XSTILTS_RENEW_GOLDEN=1 python -m pytest tests/test_golden_outputs.py"
DECIMALS = 3
DRAWN = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 200}


def rounded(value: Any) -> Any:
    """The value with its floats to three decimals."""
    if isinstance(value, float):
        return round(value, DECIMALS) + 0.0  # no negative zero
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def same(found: Any, golden: Any) -> bool:
    """Equal, but a float may lie on the other side of a rounding edge."""
    if isinstance(found, dict) and isinstance(golden, dict):
        return found.keys() == golden.keys() and all(same(v, golden[k]) for k, v in found.items())
    if isinstance(found, list) and isinstance(golden, list):
        return len(found) == len(golden) and all(map(same, found, golden))
    if isinstance(found, float) and isinstance(golden, float | int):
        return bool(abs(found - golden) < 1.5 * 10**-DECIMALS)
    return bool(found == golden)


def names_of(found: Any) -> Any:
    """The names of a mapping within mappings, whatever the values."""
    return {name: names_of(value) for name, value in found.items()} if isinstance(found, dict) else None


def shown(kind: str, out: Path) -> Any:
    """What is kept of a node's output."""
    if kind in ("train", "mix", "pretrain"):
        names = ("step", "epoch", "loss", "gradient_norm")
        counts = json.loads((out / "training.json").read_text())
        log = [
            {n: row[n] for n in names} | {"micro_rate": row["learning_rate"] * 1e6}
            for row in read_rows(out / "training.jsonl")
            if "loss" in row
        ]
        kept = {
            n: counts[n]
            for n in ("rows_trained_on", "tasks", "vocabulary", "parameters", "lines", "encoding")
            if n in counts
        }
        return {**kept, "log": log}
    if kind in ("prune", "random"):
        with safe_open(out / "model" / "model.safetensors", "np") as weights:
            sums = {name: weights.get_tensor(name).sum().item() for name in sorted(weights.keys())}
        return {
            "num_hidden_layers": json.loads((out / "model" / "config.json").read_text())["num_hidden_layers"],
            **sums,
        }
    if kind == "measure":
        measurement, runs = json.loads((out / "measurement.json").read_text()), read_rows(out / "runs.jsonl")
        # What takes time is another number in every run: its names are kept.
        of_the_place = {name: measurement.pop(name) for name in ("device", "matrix_peak_flops_per_s")}
        return {**measurement, "names": sorted(of_the_place), "runs": [names_of(run) for run in runs]}
    if kind in ("calibrate", "score"):
        return json.loads((out / ("calibration.json" if kind == "calibrate" else "scores.json")).read_text())
    folder = out / ("raw" if kind == "generate" else "outputs")
    rows = {file.stem: read_rows(file)[:6] for file in sorted(folder.iterdir())}
    if kind == "retrieve":
        return {k: [{**row, "pairs": row["pairs"][:6]} for row in found] for k, found in rows.items()}
    return rows


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    """Measured runs stay in this process: their answers are the same, and starting others takes half a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xstilts.bench.measure.Session", lambda request: nullcontext(once.Subject(asdict(request))))
        patch.setattr("xstilts.bench.measure.matrix_peak", lambda *_: 1.0)
        yield patch


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, module_patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Kind -> what is kept of the first node of it: a model made from scratch, one of fewer layers, PAWS-X trained,
    predicted, scored and measured, two intermediate tasks trained together, and BUCC mined in German."""
    arms = {"none": {}, "two": {"intermediate": ["mnli", "squad_v2"]}}
    raw = tiny_study(arms=arms, targets=["pawsx", "bucc2018"], splits=["dev"], languages=["de"])
    shape = {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "intermediate_size": 24, "vocabulary": 90}
    training = {"max_steps": 2, "batch_size": 6, "selection": "last"}
    raw["models"]["scratch"] = {"pretrain": {"languages": ["de", "en"], "model": shape, "training": training}}
    raw["models"]["pruned"] = {**raw["models"]["tiny"], "keep_layers": [2]}
    scenarios = {"offline": {"min_seconds": 0.001}, "single_stream": {"min_seconds": 0.001, "min_queries": 2}}
    raw["measurements"] = {
        "cost": {
            "targets": ["pawsx"],
            "arms": ["none"],
            "split": "dev",
            "rows": 3,
            "blocks": 1,
            "scenarios": scenarios,
        }
    }
    raw["measurements"]["cost"]["warmup_seconds"] = 0.001
    study = parse_study(raw)
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items() if not choice.pretrain]
    home, found = tmp_path_factory.mktemp("golden"), {}
    data = shutil.copytree(tiny_data(), home / "data")
    (data / "text").mkdir()
    for language in ("de", "en"):
        shutil.copyfile(data / f"pawsx/dev-{language}.tsv", data / f"text/{language}.txt")
    plan = make_plan(
        study, DataFolder(data), models, precision="fp32", digest=digest_file, device=fingerprint("cpu", 1, "fp32")
    )

    drawn, written = _drawn(raw["models"]["tiny"]["path"], module_patch), written_plan(data)

    def run(node: Node, plan: Plan) -> Path:
        out = home / node.key
        if not out.exists():
            parents = {role: run(plan.graph.by_key[key], plan) for role, key in node.parents.items()}
            out.mkdir()
            execute(node, parents, out, Resources(plan.files, plan.models, threads=1), Progress(lambda event: None))
        return out

    for kind in VERSIONS:
        of = {"generate": written, "parse": written, "random": drawn}.get(kind, plan)
        found[kind] = rounded(shown(kind, run(next(n for n in of.graph if n.kind == kind), of)))
    return found


def _drawn(words: str, patch: pytest.MonkeyPatch) -> Plan:
    """A model of a named shape with random weights, in a plan of its own."""
    patch.setitem(SHAPES, "small-world", {**shape_config("xlm-r-base", 1), **DRAWN})
    model = {"shape": "small-world", "random_weights": True, "tokenizer": words}
    study = parse_study(tiny_study(models={"drawn": model}, targets=["pawsx"], splits=["dev"], languages=["de"]))
    return make_plan(study, DataFolder(tiny_data()), [], precision="fp32", digest=digest_file)


def written_plan(data: Path) -> Plan:
    """NER learned and answered by a text-to-text model, constrained to nothing."""
    few = {"max_steps": 2, "batch_tokens": 130, "selection": "last", "dropout": 0.0}
    study = parse_study(
        tiny_study(
            models={"t5": {"path": str(text_folder(layers=2)), "run": "text_to_text"}},
            arms={"none": {}},
            targets=["panx"],
            splits=["dev"],
            languages=["de"],
            text_to_text={"training": {"target": few}, "encoding": {"target": {"max_target_length": 72}}},
        )
    )
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    return make_plan(study, DataFolder(data), models, precision="fp32", digest=digest_file)


@pytest.mark.parametrize("kind", VERSIONS)
def test_an_output_moves_only_with_its_version(outputs: dict[str, Any], kind: str) -> None:
    file = GOLDEN / f"{kind}.json"
    if os.environ.get("XSTILTS_RENEW_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        content = {"version": VERSIONS[kind], "output": outputs[kind]}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    golden = json.loads(file.read_text(encoding="utf-8"))
    assert golden["version"] == VERSIONS[kind], f"VERSIONS[{kind!r}] was raised: renew the golden file with {RENEW}"
    told = f"output of {kind} moved: raise VERSIONS[{kind!r}] and renew the golden file with {RENEW}"
    assert same(outputs[kind], golden["output"]), told


def test_what_is_compared_can_differ() -> None:
    assert same({"a": [0.1234, "x"]}, {"a": [0.124, "x"]})
    for other in ({"a": [0.13, "x"]}, {"a": [0.1234, "y"]}, {"a": [0.1234]}, {"b": [0.1234, "x"]}):
        assert not same({"a": [0.1234, "x"]}, other)
