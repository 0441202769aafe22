"""What must not stand in any file: code that can run other people's code, and paths of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec"}
FORBIDDEN_ATTRIBUTES = {("torch", "load"), ("yaml", "load"), ("yaml", "unsafe_load"), ("pickle", "loads")}
FORBIDDEN_TRUE = {"trust_remote_code", "allow_pickle"}
MACHINE_PATH = re.compile(r"(?<![\w.~}-])/(?:" + "|".join(("work", "root", "tmp/venv", "home")) + r")/")


def tracked() -> list[Path]:
    """Files git knows or would take; without git (an unpacked sdist) everything."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [p for p in ROOT.rglob("*") if p.is_file() and ".venv" not in p.parts]


FILES = tracked()
PYTHON = [p for p in FILES if p.suffix == ".py"]


def unsafe(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and reason of every construct that can run code out of data."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            if name.split(".")[0] in FORBIDDEN_MODULES:
                yield getattr(node, "lineno", 0), f"imports {name}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in FORBIDDEN_ATTRIBUTES:
                yield node.lineno, f"uses {node.value.id}.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            yield node.lineno, f"calls {node.func.id}"
        elif isinstance(node, ast.keyword) and node.arg in FORBIDDEN_TRUE and not is_false(node.value):
            yield node.lineno, f"sets {node.arg}"


def is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", PYTHON, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_is_run_out_of_data(path: Path) -> None:
    assert list(unsafe(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(f)",
        "eval(x)",
        "f(trust_remote_code=True)",
        "f(trust_remote_code=flag)",
        "np.load(f, allow_pickle=True)",
    ],
)
def test_the_rule_finds_what_it_forbids(code: str) -> None:
    assert len(list(unsafe(ast.parse(code)))) == 1


def test_the_rule_lets_harmless_code_pass() -> None:
    assert not list(unsafe(ast.parse("model.eval(); f(trust_remote_code=False); torch.no_grad()")))


def test_no_path_of_one_machine() -> None:
    found = []
    for path in FILES:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}"
            for number, line in enumerate(text.splitlines(), start=1)
            if MACHINE_PATH.search(line)
        ]
    assert not found
