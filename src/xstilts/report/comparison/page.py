"""The comparison on paper and as plain data: Markdown, and one row for each number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xstilts.report.comparison.cells import Cell, Comparison
from xstilts.report.comparison.scores import BEST
from xstilts.report.comparison.tables import comparison_grids
from xstilts.report.grid import grid_markdown
from xstilts.report.pages import check_page, write_whole


def comparison_markdown(found: Sequence[Comparison], study: str, target: str | None = None) -> str:
    """All tables under a heading."""
    grids = [grid_markdown(grid) for grid in comparison_grids(found, target)]
    return "\n".join([f"## {study}: arms compared", "", *grids])


def write_page(text: str, file: Path) -> None:
    """Write a page of Markdown, whole or not at all.

    Raises:
        XstiltsError: ``file`` does not end in .md, or its folder is not there.
        StoreError: the disk refuses.
    """
    check_page(file)
    write_whole(file, text)


def plain(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One row for each arm and number, with all that was declared."""
    return [row for of in found for row in _rows(of)]


def _rows(of: Comparison) -> Iterator[dict[str, Any]]:
    for cell in of.cells.values():
        column = cell.column
        choice = of.chosen.get(column.name) if cell.arm == BEST and column.kind == "target" else None
        yield {
            "model": of.model,
            "split": of.split,
            "arm": cell.arm,
            "against": of.against.get(cell.arm),
            "kind": column.kind,
            "name": column.name,
            "group": column.group or None,
            "targets": list(column.targets),
            "chosen": None if choice is None else {"arm": choice.arm, "split": choice.split},
            **_numbers(cell),
            "level": of.level,
            "declared_level": of.declared.level,
            "correction": of.declared.correction,
            "family": of.declared.family,
            "tests": of.tests,
        }


def _numbers(cell: Cell) -> dict[str, Any]:
    delta = cell.delta
    return {
        "mean": cell.mean,
        "spread": cell.spread,
        "runs": cell.runs,
        "delta": None if delta is None else delta.mean,
        "delta_spread": None if delta is None else delta.spread,
        "low": None if delta is None else delta.low,
        "high": None if delta is None else delta.high,
        "pairs": 0 if delta is None else delta.pairs,
        "rows_low": None if cell.rows is None else cell.rows[0],
        "rows_high": None if cell.rows is None else cell.rows[1],
        "p": None if delta is None else delta.p,
        "p_adjusted": cell.p,
        "verdict": cell.verdict,
        "at_chance": cell.weak,
        "constant": cell.constant,
        "scores": cell.scores,
    }
