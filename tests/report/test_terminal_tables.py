"""Tables in a terminal of 80 and of 200 columns: nothing is wider, nothing is lost, no number and no name is broken."""

from __future__ import annotations

import io
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from xstilts.report.grid import Grid, print_grid
from xstilts.report.table import Entry, Table, print_table

WIDTHS = (80, 200)
WORD = st.text("abcdefgh-/_.", min_size=1, max_size=24)
WORDS = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
NUMBER = st.sampled_from(["–", "71.3", "71.3±1.4 +2.1!", "+2.1 [+0.3, +3.9] ▲", "12,921,057,280", "10.0 %"])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Up to 14 columns of words or numbers; names of rows may come twice."""
    kinds = [True, *draw(st.lists(st.booleans(), min_size=1, max_size=13))]
    columns = tuple(f"{draw(WORD)} {place}" for place in range(len(kinds)))
    row = st.tuples(*(WORDS if words else NUMBER for words in kinds))
    words = frozenset(column for column, is_words in zip(columns, kinds, strict=True) if is_words)
    return Grid(draw(WORDS), columns, tuple(draw(st.lists(row, min_size=1, max_size=4))), (), words)


def printed(show: Callable[[Console], None], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@settings(max_examples=60)
@given(grid=grids(), width=st.sampled_from(WIDTHS))
def test_any_table_fits_and_keeps_every_word_and_number(grid: Grid, width: int) -> None:
    lines = printed(lambda console: print_grid(grid, console), width)
    assert max(map(cell_len, lines)) <= width
    cells = [cell.strip() for line in lines for cell in line.replace("┃", "│").split("│")]
    shown = {word for cell in cells for word in cell.split()}
    for row in (grid.columns, *grid.rows):
        for column, text in zip(grid.columns, row, strict=True):
            assert set(text.split()) <= shown
            if column not in grid.words and row is not grid.columns:
                assert text in cells  # in one piece


def test_columns_without_room_stand_below_beside_the_names_of_their_rows() -> None:
    columns = ("shape", *(f"count of {n}" for n in range(8)))
    rows = tuple((name, *("12,921,057,280",) * 8) for name in ("small", "large"))
    lines = printed(lambda console: print_grid(Grid("Sizes", columns, rows, ("a note",)), console), 80)
    assert [line for line in lines if line.startswith("Sizes")] == ["Sizes", "Sizes, continued"]
    assert [line.split()[0] for line in lines if "12,921" in line] == ["small", "large"] * 2
    assert lines[-2].strip() == "a note"


def test_rows_whose_names_come_twice_are_numbered_where_columns_stand_below() -> None:
    rows = tuple(("none", *(value,) * 8) for value in ("1,000,000,000,000", "2,000,000,000,000"))
    grid = Grid("", ("arm", *"abcdefgh"), rows)
    narrow, wide = (printed(lambda console: print_grid(grid, console), width) for width in WIDTHS)
    assert [line.split(" │ ")[:2] for line in narrow if ",000" in line] == [["1", "none"], ["2", "none"]] * 3
    assert [line.split(" │ ")[0] for line in wide if ",000" in line] == ["none", "none"]


def test_a_name_keeps_its_indentation_and_a_number_its_sign_of_per_cent() -> None:
    grid = Grid("", ("name", "x"), (("of 5 %", "a" * 60 + " 10.0 %"), ("  given these", "c")), (), frozenset({"x"}))
    lines = [line.split("│") for line in printed(lambda console: print_grid(grid, console), 71)[2:6]]
    assert [name.rstrip() for name, _ in lines] == ["of 5 %", "", "  given", "  these"]
    assert [x.strip() for _, x in lines] == ["a" * 60, "10.0 %", "c", ""]


def test_scores_are_turned_where_that_takes_fewer_parts() -> None:
    names = [f"intermediate-{n}" for n in range(2)]
    columns = tuple(f"target{n}" for n in range(9))
    table = Table("m, test", columns, tuple((name, (Entry(71.3, 1.4, 2.1),) * 9) for name in names), ())
    narrow, wide = (printed(lambda console: print_table(table, console), width) for width in WIDTHS)
    assert [line.split()[0] for line in narrow if "71.3" in line] == list(columns)
    assert [line.split()[0] for line in wide if "71.3" in line] == names
