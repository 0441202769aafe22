"""Tables for other programs: Markdown and LaTeX of tables of text, CSV and Parquet of rows, one number each."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.errors import XstiltsError
from xstilts.report.grid import Grid, grid_markdown
from xstilts.report.pages import check_page, write_whole

FORMATS = (".md", ".tex", ".csv", ".parquet")
"""What a file may end in. The first two hold tables, the others rows."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "°": r"$^\circ$",
    "▲": r"$\triangle$",
    "▼": r"$\triangledown$",
    "…": r"\dots{}",
}
_NUMBER_SIGN = re.compile(r"(?<![^\s\[({])-(?=\d)")
_PREAMBLE = r"% \usepackage{booktabs,amssymb}"
_OTHER_SCRIPTS = (
    "% Some names are in letters that pdflatex does not know: xelatex or lualatex, and a font that has them."
)


def check_export(file: Path) -> None:
    """Raise ``XstiltsError`` where ``file`` ends in none of ``FORMATS``, its folder or its writer is not there."""
    check_page(file, *FORMATS)
    if file.suffix == ".parquet":
        _pyarrow()


def write_export(
    file: Path, grids: Callable[[], Sequence[Grid]], rows: Callable[[], Sequence[Mapping[str, Any]]]
) -> None:
    """Write whole or not at all: tables or rows, as the file's name asks; the others are not made.

    Raises:
        XstiltsError: as ``check_export``.
        StoreError: the disk refuses.
    """
    check_export(file)
    if file.suffix == ".md":
        write_whole(file, "\n".join(grid_markdown(grid) for grid in grids()) + "\n")
    elif file.suffix == ".tex":
        write_whole(file, latex(grids()))
    elif file.suffix == ".csv":
        write_whole(file, csv_text(rows()))
    else:
        write_whole(file, parquet_bytes(rows()))


def latex(grids: Iterable[Grid]) -> str:
    """Each grid as a ``table`` with booktabs' rules; its notes stand below it. Every text is escaped."""
    tables = [_latex_table(grid) for grid in grids]
    foreign = [_OTHER_SCRIPTS] if any(sign > "\u017f" for table in tables for sign in table) else []
    return "\n".join([_PREAMBLE, *foreign, *tables])


def _latex_table(grid: Grid) -> str:
    columns = "".join("l" if place == 0 or c in grid.words else "r" for place, c in enumerate(grid.columns))
    body = [" & ".join(map(latex_text, row)) + r" \\" for row in (grid.columns, *grid.rows)]
    head, rows = body[0], body[1:]
    notes = [rf"\par\footnotesize {latex_text(note)}" for note in grid.notes]
    begin = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(grid.title)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
    ]
    end = [r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}", ""]
    return "\n".join([*begin, r"\toprule", head, r"\midrule", *rows, *end])


def latex_text(text: str) -> str:
    """A text that LaTeX prints as it is, with minus signs before numbers.

    A row that begins with ``[`` would be read as an option of the line before it, so brackets are held together.
    """
    escaped = "".join(_LATEX.get(sign, sign) for sign in _NUMBER_SIGN.sub("−", text))
    return escaped.replace("[", "{[}").replace("]", "{]}")


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A head and one line a row. Nothing is empty, lists are JSON, numbers are whole: read back, they are the same."""
    out = io.StringIO()
    fields = list(dict.fromkeys(field for row in rows for field in row))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_plain(row.get(field)) for field in fields] for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else value


def parquet_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The same with types.

    Raises:
        XstiltsError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    out = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows]), out)
    return out.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise XstiltsError(
            "Parquet is written by pyarrow, which is not installed", hint="pip install 'xstilts[hub]', or name a .csv"
        ) from None
    return pyarrow, parquet
