"""Tables in a terminal of 80 and of 200 columns: nothing is wider, nothing is lost, no number and no name is broken."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import timed_world
from tiny_world import fake_model, tiny_data, write_study
from xstilts import cli
from xstilts.cli.options import out
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


@settings(max_examples=60, deadline=None)
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


def test_scores_are_turned_where_that_takes_fewer_parts() -> None:
    names = [f"intermediate-{n}" for n in range(2)]
    columns = tuple(f"target{n}" for n in range(9))
    table = Table("m, test", columns, tuple((name, (Entry(71.3, 1.4, 2.1),) * 9) for name in names), ())
    narrow, wide = (printed(lambda console: print_table(table, console), width) for width in WIDTHS)
    assert [line.split()[0] for line in narrow if "71.3" in line] == list(columns)
    assert [line.split()[0] for line in wide if "71.3" in line] == names


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("terminal") / "store"
    made = timed_world.world(root)
    made.measure("xnli", timed_world.xnli_systems())
    made.measure("tatoeba", timed_world.tatoeba_systems())
    made.save()
    return root


def fits(arguments: list[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a verb prints: no line is wider than the terminal, and no table is cut."""
    monkeypatch.setattr(out, "_width", width)
    monkeypatch.setattr(sys, "argv", ["xstilts", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    assert {line for line in said.out.splitlines() if cell_len(line.rstrip()) > width} == set()
    assert "…" not in said.out
    return said.out


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "verb",
    [
        "results",
        "compare arms small",
        "compare published",
        "impact",
        "status",
        "claims",
        "recommend xnli",
        "choose --target xnli --max-p99-ms 60000",
    ],
)
def test_what_a_store_holds_fits(
    store: Path, verb: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fits([*verb.split(), "--store", str(store)], width, monkeypatch, capsys)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("verb", ["tasks", "models", "shapes"])
def test_what_the_package_knows_fits(
    verb: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fits(verb.split(), width, monkeypatch, capsys)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_and_its_memory_fit(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_model(tmp_path / "words")
    arms = {"none": {}, "all-of-them": {"intermediate": ["mnli", "squad_v2"]}}
    fields = {
        "name": "s",
        "models": {"xxl": {"shape": "xlm-r-xxl", "random_weights": True, "tokenizer": "words"}},
        "arms": arms,
        "targets": ["pawsx", "tatoeba"],
        "seeds": [1],
    }
    file = write_study(tmp_path, {**fields, "precision": "fp32"})
    where = ["--data", str(tiny_data()), "--store", str(tmp_path / "store")]
    plan = fits(["plan", str(file), *where], width, monkeypatch, capsys)
    assert fits(["plan", str(file), *where, "--memory", "--room", "20"], width, monkeypatch, capsys).startswith(plan)
