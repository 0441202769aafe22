"""Files of at most 350 lines, functions of at most 60, and names that say what is inside."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(p for folder in ("src", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
FILE_LINES = 350
FUNCTION_LINES = 60
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "factory"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines <= FILE_LINES, f"{path} has {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{path}:{node.lineno}: {node.name} has {length} lines"


def test_names_say_what_is_inside() -> None:
    parts = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not [part for part in parts if part.lower() in EMPTY_NAMES or part.lower().split("_")[-1] in EMPTY_NAMES]
