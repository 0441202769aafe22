"""A task from outside the package: the one that the guide shows, and the reader it is made with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xstilts import catalogue, tasks
from xstilts.data.tables import rows_with_header
from xstilts.errors import DataError
from xstilts.task_types import PairExample
from xstilts.tasks.folder import DataFolder, read_examples

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "own-task.md"


def test_the_task_that_the_guide_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_outside", {})
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "polarity.py").write_text(code, encoding="utf-8")
    (tmp_path / "polarity").mkdir()
    (tmp_path / "polarity" / "train-en.tsv").write_text("text\tlabel\na dull film\tnegative\nfun\tpositive\n")
    (tmp_path / "polarity" / "test-de.tsv").write_text("label\tyear\ttext\npositive\t1999\tlustig\n")
    task = tasks.load_file(tmp_path / "polarity.py")
    assert tasks.load("polarity") is task
    data = DataFolder(tmp_path)
    assert data.languages(task, "train") == ("en",)
    assert read_examples(task, data.files(task, "train", "en"), "en") == [
        PairExample("2", "a dull film", None, "negative"),
        PairExample("3", "fun", None, "positive"),
    ]
    (german,) = read_examples(task, data.files(task, "test", "de"), "de")
    assert (german.first, german.label) == ("lustig", "positive")
    assert task.metric([german.label], ["negative"], "de") == {"accuracy": 0.0}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("text\tyear\na\t1\n", 1, "missing column 'label'"),
        ("text\tlabel\na\tx\n\nb\n", 4, "the row ends before one of 'text', 'label'"),
    ],
)
def test_a_column_that_is_missing_is_said_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        list(rows_with_header(path, ("text", "label")))
    assert caught.value.where == f"{path}:{line}"


@pytest.mark.parametrize(
    ("code", "line", "says"),
    [
        ("x = 1\ny = x / 0\n", ":2", "ZeroDivisionError: division by zero"),
        ("def f(:\n", ":1", "SyntaxError"),
        ("import os\n\nimport no_such_module\n", ":3", "No module named 'no_such_module'"),
        ("import json\njson.loads('{')\n", ":2", "JSONDecodeError"),
        ("# a comment", "", "declares no TASK"),
    ],
)
def test_a_file_with_an_error_of_its_own(tmp_path: Path, code: str, line: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(code)
    with pytest.raises(DataError, match=says) as caught:
        tasks.load_file(file)
    assert caught.value.where == f"{file}{line}"


def test_a_task_file_is_python_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("TASK = 1\n")
    with pytest.raises(DataError, match="not a Python file"):
        tasks.load_file(tmp_path / "mine.txt")


def test_tasks_say_how_to_cite_them() -> None:
    cited = {t["name"]: t["bibtex"] for t in catalogue.describe_tasks()}
    assert cited == {t.name: t.bibtex for t in (*tasks.targets(), *tasks.intermediate())}
    assert cited["qqp"].startswith("@inproceedings{")
