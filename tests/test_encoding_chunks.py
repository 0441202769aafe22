"""Encoding in chunks gives what encoding at once gives."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_world import SHORT, tiny_data, tiny_model
from xstilts.hyperparameters import Encoding
from xstilts.rows import without_gold
from xstilts.task_types import Features
from xstilts.task_types.chunks import encode_in_chunks
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, read_examples


def assert_equal(found: Features, expected: Features) -> None:
    for field in fields(Features):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


@pytest.mark.parametrize("name", ["xnli", "panx", "squad_v2", "hellaswag"])
@pytest.mark.parametrize("chunk", [1, 7, 24, 100])
def test_chunks_change_nothing(name: str, chunk: int) -> None:
    from xstilts.models.loading import load_tokenizer

    task: Any = load(name)
    paths: tuple[Path, ...] = DataFolder(tiny_data()).files(task, "train", "en")
    examples = read_examples(task, paths, "en")
    tokenizer, encoding = (
        load_tokenizer(tiny_model()),
        Encoding(**{**SHORT, "max_length": 32, "max_question_length": 8}),
    )
    whole = task.type.encode(examples, tokenizer, encoding)
    assert whole.targets is not None
    assert whole.num_examples == len(examples) >= 24
    assert_equal(encode_in_chunks(task.type, examples, tokenizer, encoding, chunk), whole)
    half = [*examples[:10], *without_gold(examples[10:])]
    assert encode_in_chunks(task.type, half, tokenizer, encoding, chunk).targets is None
    assert_equal(encode_in_chunks(task.type, [], tokenizer, encoding, chunk), task.type.encode([], tokenizer, encoding))
