"""Imports point one way, and what people wait for starts without torch."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny_world import fake_model, nine_targets, tiny_data

SOURCE = Path(__file__).parents[2] / "src" / "xstilts"

# A module imports from the lines above its own, and from its own package; neighbours on a line do not see each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "outside"),
    ("languages", "hyperparameters", "device", "shapes", "yaml_file"),
    ("text_hyperparameters", "task_types", "graph", "metrics", "statistics", "measurements", "model_choice"),
    ("data", "study"),
    ("tasks",),
    ("calibration", "chance", "kept_features", "model_source", "naming", "pocket", "study_source"),
    ("inputs",),
    ("rows",),
    ("study_files", "submission_files"),
    ("checking", "hub", "submission", "scoring", "plan", "report", "tracking", "translation"),
    ("memory", "parsing", "published"),
    ("claims", "recommend"),
    ("batching", "seq2seq"),
    ("models",),
    ("training", "inference"),
    ("dev_scores", "starting", "trained"),
    ("bench",),
    ("learning",),
    ("text_learning",),
    ("execute",),
    ("catalogue", "engines", "journey", "own_text", "slurm"),
    ("benching", "exporting", "webpage"),
    ("interface",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
NARROW = {  # these see no more than this
    "statistics": {"errors"},
    "report": {"errors", "graph", "metrics", "tasks", "languages", "statistics"},
}
HEAVY = {
    "torch": {
        "batching",
        "seq2seq",
        "models",
        "training",
        "inference",
        "bench",
        "starting",
        "trained",
        "learning",
        "text_learning",
        "execute",
    },
    "transformers": {"models", "seq2seq"},
    "peft": {"models"},
}
RAY_FILE = "graph/cluster.py"

FILES = sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything ``path`` imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = layer_of(path)
    if own in ("__init__", "__main__"):
        allowed = {"cli"} if own == "__main__" else {"interface"}
    else:
        assert own in RANK, f"{own} is in no layer: give it its place in LAYERS"
        allowed = NARROW.get(own) or {name for name in RANK if RANK[name] < RANK[own]}
    for line, name in imported(path):
        first, _, rest = name.partition(".")
        if first == "xstilts" and rest not in ("", "__version__"):
            used = rest.split(".")[0]
            assert used == own or used in allowed, f"{path}:{line}: {own} must not import {used}"
        if first in HEAVY:
            assert own in HEAVY[first], f"{path}:{line}: {first} is for {sorted(HEAVY[first])}"
        if first == "ray":
            assert str(path.relative_to(SOURCE)) == RAY_FILE, f"{path}:{line}: ray is imported in {RAY_FILE} only"


def test_layers_name_only_what_exists_once() -> None:
    names = [name for layer in LAYERS for name in layer]
    assert len(names) == len(set(names))
    here = {layer_of(p) for p in FILES}
    assert set(names) <= here, f"LAYERS names what is not there: {sorted(set(names) - here)}"


def loaded_by(code: str) -> tuple[set[str], str]:
    """Top-level modules loaded in a fresh interpreter that ran ``code``, and what it printed."""
    report = "\nimport sys\nprint(chr(10) + ' '.join(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()), done.stdout


def verb(*arguments: str) -> str:
    """Code that runs one verb of the command line and fails when it does."""
    return f"""
import sys
from xstilts.cli import main
sys.argv = {["xstilts", *arguments]!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize(
    "module",
    [
        "xstilts.cli",
        "xstilts.interface",
        "xstilts.journey",
        "xstilts.submission",
        "xstilts.checking",
        "xstilts.report.table",
    ],
)
def test_starts_without_torch(module: str) -> None:
    loaded, _ = loaded_by(f"import {module}")
    assert "xstilts" in loaded
    assert not loaded & {"torch", "transformers", "ray", "faiss", "tokenizers", "psutil"}


def test_help_loads_the_command_line_only() -> None:
    loaded, printed = loaded_by(verb("--help"))
    assert "score" in printed
    assert not loaded & {"numpy", "tokenizers", "psutil", "yaml"}


def test_a_plan_is_made_without_arrays_and_words(tmp_path: Path) -> None:
    fake_model(tmp_path / "model")
    study = {"name": "s", "models": {"m": {"path": "model"}}, "arms": {"none": {}}, "targets": nine_targets()}
    (tmp_path / "s.yaml").write_text(json.dumps({**study, "precision": "fp32"}))
    planning = verb("plan", str(tmp_path / "s.yaml"), "--data", str(tiny_data()), "--store", str(tmp_path / "store"))
    loaded, printed = loaded_by(planning)
    assert "score" in printed
    assert not loaded & {"torch", "transformers", "numpy", "tokenizers", "psutil"}


def test_tasks_are_listed_without_torch() -> None:
    loaded, printed = loaded_by(verb("tasks", "--json", "-"))
    assert "torch" not in loaded
    assert "xnli" in json.dumps(json.loads(printed))
