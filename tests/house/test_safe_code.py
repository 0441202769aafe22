"""Nothing in the project can run code out of data: whatever name it is given, by whatever way it is imported."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_words import PYTHON, ROOT

SOURCE = [path for path in PYTHON if (ROOT / "src") in path.parents]
FORBIDDEN = {
    *(
        "pickle",
        "cPickle",
        "_pickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
        "runpy",
        "jsonpickle",
        "submitit",
    ),
    *(
        "tarfile",
        "zipfile.ZipFile",
        "shutil.unpack_archive",
        "xml.etree",
        "xml.dom",
        "lxml",
    ),  # no archive is opened, no XML is read
    *("torch.load", "torch.jit", "torch.package", "torch.hub", "torch.serialization", "numpy.lib.format.read_array"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all"),
    *("yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "yaml.CLoader", "yaml.CFullLoader", "yaml.CUnsafeLoader"),
    *(
        "eval",
        "exec",
        "compile",
        "__import__",
        "builtins.eval",
        "builtins.exec",
        "builtins.compile",
        "builtins.__import__",
    ),
    *("os.system", "os.popen", "pandas.read_pickle", "numpy.core.multiarray._reconstruct"),
}
CODE = {"importlib.util.spec_from_file_location", "importlib.util.module_from_spec", "importlib.machinery"}
ALLOWED = {"src/xstilts/tasks/__init__.py": CODE}
"""A task file that a user names with ``--task-file`` is code, and said to be."""


def names_of(tree: ast.AST) -> dict[str, str]:
    """What each imported name of a file stands for, in full."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def full_name(node: ast.AST, names: dict[str, str]) -> str:
    """``yaml.load`` for any way to say it; empty for what is no name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or (node.id not in names and not hasattr(builtins, node.id)):
        return ""
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def is_below(name: str, forbidden: str) -> bool:
    return name == forbidden or name.startswith(f"{forbidden}.")


def unsafe(tree: ast.AST, allowed: set[str] = frozenset()) -> Iterator[tuple[int, str]]:  # type: ignore[assignment]
    """Line and name of everything forbidden, and calls that leave open whether foreign code is run."""
    names, forbidden = names_of(tree), (FORBIDDEN | CODE) - allowed
    for node in ast.walk(tree):
        said: list[str] = []
        if isinstance(node, ast.Import):
            said = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            said = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            said = [full_name(node, names)]
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, why) for why in _calls(node, names))
        yield from (
            (getattr(node, "lineno", 0), each) for each in said if any(is_below(each, bad) for bad in forbidden)
        )


def _calls(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    name = full_name(node.func, names)
    given = {k.arg: k.value for k in node.keywords}
    for keyword in ("shell", "allow_pickle", "trust_remote_code"):
        if keyword == "shell" and is_below(name, "typer.completion"):
            continue  # the name of a shell
        value = given.get(keyword)
        if keyword == "shell" and not name.startswith(("subprocess.", "asyncio.")):
            continue
        if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
            yield f"{keyword} is not False"
    last = name.rpartition(".")[2] or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
    if last == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        target = f"{full_name(node.args[0], names)}.{node.args[1].value!s}"
        if any(is_below(target, bad) for bad in FORBIDDEN):
            yield target
    if last == "from_pretrained" and not {"trust_remote_code", None} & given.keys():
        yield "from_pretrained without trust_remote_code=False"
    if last == "from_pretrained" and "Model" in name and not {"use_safetensors", None} & given.keys():
        yield "from_pretrained of a model without use_safetensors=True"
    if name == "numpy.load" and "allow_pickle" not in given:
        yield "numpy.load without allow_pickle=False"


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_code_is_run_out_of_data(path: Path) -> None:
    allowed = ALLOWED.get(str(path.relative_to(ROOT)), set())
    assert list(unsafe(ast.parse(path.read_text(encoding="utf-8")), allowed)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle as p",
        "from pickle import loads",
        "import torch as t\nt.load(f)",
        "from torch import load as read\nread(f)",
        "import torch\nread = torch.load",
        "import yaml as y\ny.load(f, y.Loader)",
        "from yaml import unsafe_load",
        "import numpy as np\nnp.load(f)",
        "import numpy as np\nnp.load(f, allow_pickle=flag)",
        "import builtins as b\nb.eval(x)",
        "run = eval",
        "import torch\ngetattr(torch, 'load')(f)",
        "__import__('pickle')",
        "import tarfile",
        "from zipfile import ZipFile",
        "from importlib.util import module_from_spec",
        "from transformers import AutoModel\nAutoModel.from_pretrained(f, trust_remote_code=False)",
        "from transformers import AutoModel\nAutoModel.from_pretrained(f, use_safetensors=True)",
        "AutoTokenizer.from_pretrained(f, trust_remote_code=yes)",
        "import subprocess\nsubprocess.run(x, shell=True)",
        "import os\nos.system(x)",
    ],
)
def test_the_rule_finds_it_under_any_name(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


def test_the_rule_lets_harmless_code_pass() -> None:
    code = "import re, torch, yaml\nmodel.eval(); re.compile(x); yaml.safe_load(x); model.load(x)\n"
    code += "AutoConfig.from_pretrained(f, trust_remote_code=False)\n"
    assert not list(unsafe(ast.parse(code)))
