"""Every table that is exported compiles: by pdflatex where it is installed, and by its structure everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from compared import ROWS, study
from test_retrieval_layers import ROWS as LAYER_ROWS
from test_retrieval_layers import STUDY as LAYER_STUDY

import timed_world
from xstilts import cli
from xstilts.report.comparison.compare import compare
from xstilts.report.comparison.tables import comparison_grids
from xstilts.report.exports import latex
from xstilts.report.grid import Grid
from xstilts.report.retrieval_layers import layer_grids, layers_of
from xstilts.statistics.corrections import Declared

HOSTILE = r"a_b & 50% #1 {x} ~ ^ \input{secret} $y$"
GRID = Grid(
    "A & B",
    ("arm", "x_1", "note"),
    ((HOSTILE, "71.0±1.4!", "-2.1 [-3.0, -1.2] ▼"), ("[x] °", "–", "▲ … −1 é ö")),
    ("n: 5 %", HOSTILE),
    frozenset({"note"}),
)
VERBS = {
    "results": ["results"],
    "arms": ["compare", "arms", "small"],
    "one-target": ["compare", "arms", "small", "--target", "xnli"],
    "stores": ["compare", "stores", "store", "store"],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a .tex file for each verb that writes tables, and three of grids that this store does not hold."""
    home = tmp_path_factory.mktemp("latex")
    timed_world.world(home / "store").save()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.delenv("XSTILTS_STORE", raising=False)
        for name, verb in VERBS.items():
            store = [] if name == "stores" else ["--store", "store"]
            patch.setattr(sys, "argv", ["xstilts", *verb, *store, "-o", f"{name}.tex"])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code
    (home / "hostile.tex").write_text(latex([GRID]), encoding="utf-8")
    layers = layer_grids(layers_of(LAYER_ROWS, LAYER_STUDY), "mean")
    (home / "layers.tex").write_text(latex(layers), encoding="utf-8")
    compared = comparison_grids(compare(ROWS, study(), "test", Declared(), {}))
    (home / "compared.tex").write_text(latex(compared), encoding="utf-8")
    return home


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)&", row)) + 1


def problems(text: str) -> Iterator[str]:
    """What LaTeX would stop at: environments, braces, columns, and signs that mean something to it."""
    open_ones: list[str] = []
    columns = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("%"):
            continue
        for what, name, spec in re.findall(r"\\(begin|end)\{(\w+)\}(?:\{([lr]*)\})?", line):
            if what == "begin":
                open_ones.append(name)
                columns = len(spec) or columns
            elif not open_ones or open_ones.pop() != name:
                yield f"{number}: \\end{{{name}}} without its beginning"
        bare = re.sub(r"\\[a-zA-Z]+|\\[\\{}&%$#_]", "", line)
        if bare.count("{") != bare.count("}"):
            yield f"{number}: braces"
        if bare.count("$") % 2 or re.search(
            r"[#%~^\\]", re.sub(r"\$\^$|\$\^\$|\$\^\s*\$", "", bare).replace("$^$", "")
        ):
            yield f"{number}: a sign that is not escaped: {line}"
        in_table = open_ones and open_ones[-1] == "tabular"
        if in_table and line.endswith(r"\\") and cells(line) != columns:
            yield f"{number}: {cells(line)} cells in {columns} columns"
        if not in_table and cells(line) > 1:
            yield f"{number}: & outside a table"
    if open_ones:
        yield f"never ended: {open_ones}"


NAMES = [*VERBS, "hostile", "layers", "compared"]


@pytest.mark.parametrize("name", NAMES)
def test_its_structure_is_whole(name: str, written: Path) -> None:
    text = (written / f"{name}.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}") >= 1
    assert list(problems(text)) == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("& 1", "cells"),
        ("{", "braces"),
        ("50%", "not escaped"),
        ("$", "not escaped"),
        (r"\end{tabular}", "cells|never|without"),
    ],
)
def test_the_check_sees_what_is_broken(broken: str, says: str) -> None:
    good = latex([Grid("t", ("a", "b"), (("x", "y"),))])
    assert list(problems(good)) == []
    assert re.search(says, " ".join(problems(good.replace(r"x & y \\", rf"x {broken} & y \\"))))


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(name: str, written: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on the path: its structure is looked at instead")
    whole = (
        rf"\documentclass{{article}}\usepackage{{booktabs,amssymb}}\begin{{document}}\input{{{name}}}\end{{document}}"
    )
    shutil.copy(written / f"{name}.tex", tmp_path)
    (tmp_path / "whole.tex").write_text(whole, encoding="utf-8")
    flags = ("-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape")
    done = subprocess.run(["pdflatex", *flags, "whole.tex"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_other_scripts_are_named() -> None:
    said = latex([Grid("ქართული", ("a", "b"), (("x", "y"),))])
    assert "xelatex" in said.splitlines()[1] and "xelatex" not in latex([GRID])
