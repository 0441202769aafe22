"""Tables in other programs: what is read back is what was written, and LaTeX prints every text as it is."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from compared import ROWS, study

import timed_world
from tiny_world import command
from xstilts.errors import XstiltsError
from xstilts.report.comparison.compare import compare
from xstilts.report.comparison.page import plain
from xstilts.report.exports import check_export, csv_text, latex, latex_text, parquet_bytes, write_export
from xstilts.report.grid import Grid
from xstilts.report.table import Entry, Table, as_grid, markdown
from xstilts.statistics.corrections import Declared

HOSTILE = r"a_b & 50% #1 {x} ~ ^ \input{secret} $y$"
GRID = Grid(
    "A & B", ("arm", "x_1", "note"), ((HOSTILE, "71.0±1.4!", "-2.1 [-3.0, -1.2] ▼"),), ("n: 5 %",), frozenset({"note"})
)


def back(text: str) -> list[dict[str, Any]]:
    """CSV as a reader takes it who knows that what is not text is JSON."""
    return [dict(row) for row in csv.DictReader(text.splitlines())]


def test_csv_gives_back_every_number() -> None:
    rows = plain(compare(ROWS, study(), "test", Declared(), {}))
    read = back(csv_text(rows))
    assert len(read) == len(rows) > 50
    for row, again in zip(rows, read, strict=True):
        for field, value in row.items():
            text = again[field]
            if value is None:
                assert text == ""
            elif isinstance(value, str):
                assert text == value
            else:
                assert json.loads(text) == value, field  # repr of a float is exact


def test_parquet_gives_back_every_row(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow writes Parquet")
    rows = plain(compare(ROWS, study(), "test", Declared(), {}))
    (tmp_path / "t.parquet").write_bytes(parquet_bytes(rows))
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == rows


def test_without_pyarrow_parquet_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(XstiltsError, match="pyarrow") as caught:
        check_export(tmp_path / "t.parquet")
    assert "pip install" in str(caught.value)


def test_latex_prints_texts_as_they_are() -> None:
    assert latex_text(HOSTILE) == (
        r"a\_b \& 50\% \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}input\{secret\} \$y\$"
    )
    assert latex_text("-2.1 [-3.0]") == "$-$2.1 {[}$-$3.0{]}"
    text = latex([GRID])
    assert r"\begin{tabular}{lrl}" in text and r"\caption{A \& B}" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_one_table_in_all_forms() -> None:
    table = Table(
        "m, test", ("xnli",), (("none", (Entry(71.0, 1.4),)), ("mnli", (Entry(73.1, None, 2.1, "!"),))), ("note",)
    )
    assert as_grid(table).rows == (("none", "71.0±1.4"), ("mnli", "73.1 +2.1!"))
    for row in as_grid(table).rows:
        assert "| " + " | ".join(row) + " |" in markdown(table)
        assert f"{row[0]} & {latex_text(row[1])}" in latex([as_grid(table)])


@pytest.mark.parametrize("name", ["t.txt", "t", "none/t.csv"])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    def never() -> list[Any]:
        raise AssertionError

    with pytest.raises(XstiltsError, match=r"\.parquet|folder"):
        write_export(tmp_path / name, never, never)


def test_the_verbs_write_them(tmp_path: Path) -> None:
    made = timed_world.world(tmp_path / "store")
    made.save()
    at = ("--store", tmp_path / "store", "-o")
    rows = json.loads(command("results", "--store", tmp_path / "store", "--json", "-"))
    command("results", *at, tmp_path / "r.csv")
    assert [row["key"] for row in back((tmp_path / "r.csv").read_text(encoding="utf-8"))] == [
        row["key"] for row in rows
    ]
    command("results", *at, tmp_path / "r.tex")
    assert r"\toprule" in (tmp_path / "r.tex").read_text(encoding="utf-8")
    command("compare", "arms", "small", *at, tmp_path / "c.csv")
    assert "verdict" in (tmp_path / "c.csv").read_text(encoding="utf-8").splitlines()[0]
