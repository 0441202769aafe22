"""One suite for every task: what it declares is complete, and gold scored against itself is perfect."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.hyperparameters import Encoding
from xstilts.languages import LANGUAGES
from xstilts.task_types import (
    Answer,
    ChoiceExample,
    PairExample,
    Retrieval,
    SpanExample,
    Tagging,
    TaggingExample,
    Tokenizer,
)
from xstilts.tasks import intermediate, load, names, targets
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.tasks.task import Task

EVERY = [load(name) for name in names()]
IDS = [task.name for task in EVERY]
ENCODING = Encoding(max_length=64, stride=8, max_question_length=16)


def rows(task: Task, root: Path) -> tuple[list[Any], str]:
    """The hand-made examples of the first split and language that has them."""
    data = DataFolder(root)
    for split in task.files:
        for language in data.languages(task, split):
            paths = data.files(task, split, language)
            return read_examples(task, paths, language, data.gold_files(task, split, language)), language
    raise AssertionError(f"no hand-made rows for {task.name}")


def test_the_folder_is_the_registry() -> None:
    assert len(targets()) == len(intermediate()) == 9
    assert {task.name for task in (*targets(), *intermediate())} == set(names())


def test_cells_of_the_benchmark() -> None:
    sizes = {task.name: len(task.languages) for task in targets()}
    assert sizes == {
        "xnli": 15, "pawsx": 7, "udpos": 33, "panx": 40, "xquad": 11,
        "mlqa": 7, "tydiqa": 9, "bucc2018": 4, "tatoeba": 36,
    }  # fmt: skip
    assert sum(sizes.values()) == 162


def test_languages_left_out_of_the_large_tasks() -> None:
    everything = set(LANGUAGES)
    assert everything - set(load("udpos").languages) == {"bn", "jv", "ka", "ml", "ms", "my", "sw"}
    assert everything - set(load("tatoeba").languages) == {"en", "ms", "my", "yo"}
    assert set(load("panx").languages) == everything


@pytest.mark.parametrize("task", EVERY, ids=IDS)
def test_declarations_are_complete(task: Task) -> None:
    assert task.title and task.paper and task.licence and task.address and task.fetch
    assert task.bibtex.count("{") == task.bibtex.count("}") > 0
    assert set(task.languages) <= set(LANGUAGES) and len(set(task.languages)) == len(task.languages)
    assert set(task.counts) <= set(task.files)
    assert all(set(counts) <= set(task.languages) for counts in task.counts.values())
    assert (task.group is None) == (task.role == "intermediate")
    known = set(type(task.training).model_fields) | set(Encoding.model_fields)
    assert set(task.marks) <= known
    assert {"max_length"} <= set(task.marks)
    if task.trains_on is None:
        assert isinstance(task.type, Retrieval)
    else:
        assert {"learning_rate", "epochs", "batch_size"} <= set(task.marks)
        assert "train" in load(task.trains_on).files
        assert type(load(task.trains_on).type) is type(task.type)


@pytest.mark.parametrize("task", EVERY, ids=IDS)
def test_gold_against_gold_is_perfect(task: Task, data_root: Path) -> None:
    examples, language = rows(task, data_root)
    golds = [task.type.gold(example) for example in examples]
    predictions: list[Any] = golds
    if isinstance(task.type, Retrieval):
        golds = predictions = list(golds[0])
    elif isinstance(examples[0], SpanExample):
        predictions = [texts[0] if texts else "" for texts in golds]
    scores = task.metric(golds, predictions, language)
    assert set(task.main_score) <= set(scores)
    assert all(value == pytest.approx(100.0) for value in scores.values())


def other_gold(example: Any, task: Task) -> Any:
    """The same example with another gold."""
    match example:
        case PairExample():
            return replace(example, label=next(label for label in task.type.labels if label != example.label))  # type: ignore[attr-defined]
        case ChoiceExample():
            return replace(example, label=(example.label or 0) - 1)
        case TaggingExample():
            return replace(example, tags=(example.tags or ())[::-1])
        case SpanExample():
            return replace(example, answers=(Answer("lives", 5),))
    raise AssertionError(example)


@pytest.mark.parametrize("task", [task for task in EVERY if task.trains_on], ids=lambda task: task.name)
def test_gold_never_reaches_the_input(task: Task, data_root: Path, characters: Tokenizer) -> None:
    examples, _ = rows(task, data_root)
    if task.type == Tagging(()):
        task = replace(task, type=Tagging(tuple(sorted({tag for e in examples for tag in e.tags}))))
    first = task.type.encode(examples, characters, ENCODING)
    second = task.type.encode([other_gold(e, task) for e in examples], characters, ENCODING)
    for name in ("input_ids", "type_ids", "offsets", "read", "read_offsets", "example"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.targets is not None and not np.array_equal(first.targets, second.targets)  # type: ignore[arg-type]


SENTENCES = st.lists(
    st.lists(st.text("abc", min_size=1, max_size=12), min_size=1, max_size=30).map(tuple), min_size=1, max_size=4
)


@given(sentences=SENTENCES, max_length=st.integers(8, 40))
def test_windows_of_tagging_rejoin(
    characters: Tokenizer, sentences: Sequence[tuple[str, ...]], max_length: int
) -> None:
    shape = Tagging(("X", "Y"))
    examples = [
        TaggingExample(str(k), words, tuple("XY"[len(w) % 2] for w in words)) for k, words in enumerate(sentences)
    ]
    encoding = Encoding(max_length=max_length)
    features = shape.encode(examples, characters, encoding)
    assert features.lengths.max() <= max_length
    assert features.targets is not None
    outputs = shape.decode(examples, features, np.eye(2, dtype=np.float32)[features.targets], encoding)
    assert [shape.answer(output) for output in outputs] == [e.tags for e in examples]


def test_tasks_are_declared_without_torch() -> None:
    code = (
        "import sys, xstilts.tasks.folder; from xstilts.tasks import targets, intermediate; targets(), intermediate()"
    )
    done = subprocess.run([sys.executable, "-c", f"{code}; sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0
