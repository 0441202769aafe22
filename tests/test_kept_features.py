"""Features are made once, equal those made anew, and nothing damaged or half-written is taken for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import xstilts.kept_features as module
from tiny_world import tiny_model
from xstilts.errors import StoreError
from xstilts.hyperparameters import Encoding
from xstilts.kept_features import features_key, kept_features
from xstilts.models.loading import load_tokenizer
from xstilts.task_types import Classification, Features, PairExample, Tokenizer
from xstilts.task_types.chunks import encode_in_chunks

SHAPE, ENCODING = Classification(("contradiction", "entailment", "neutral")), Encoding(max_length=12)


def rows(count: int = 20, label: str = "neutral") -> list[PairExample]:
    return [PairExample(str(i), f"first {i}", "second " * i, label) for i in range(count)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(tiny_model())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples each call of the encoder got."""
    seen: list[int] = []

    def counted(task_type: Classification, examples: list[PairExample], *rest: object) -> Features:
        seen.append(len(examples))
        return encode_in_chunks(task_type, examples, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "encode_in_chunks", counted)
    return seen


def same(left: Features, right: Features) -> bool:
    return all(np.array_equal(getattr(left, f.name), getattr(right, f.name)) for f in fields(Features))


def test_made_once_and_equal_to_those_made_anew(tmp_path: Path, tokenizer: Tokenizer, calls: list[int]) -> None:
    found = [kept_features(tmp_path / "f", SHAPE, rows(), tokenizer, ENCODING) for _ in range(3)]
    assert calls == [20]
    assert all(same(each, encode_in_chunks(SHAPE, rows(), tokenizer, ENCODING)) for each in found)
    assert not found[1].input_ids.flags.owndata, "memory-mapped"
    assert not found[1].input_ids.flags.writeable


@pytest.mark.parametrize(
    "changed",
    [
        lambda t: (SHAPE, rows(19), t, ENCODING),
        lambda t: (SHAPE, rows(label="entailment"), t, ENCODING),
        lambda t: (SHAPE, rows()[::-1], t, ENCODING),
        lambda t: (SHAPE, rows(), t, Encoding(max_length=11)),
        lambda t: (Classification(("neutral", "entailment", "contradiction")), rows(), t, ENCODING),
    ],
)
def test_whatever_decides_them_is_in_the_key(tokenizer: Tokenizer, changed: Callable[[Tokenizer], tuple]) -> None:  # type: ignore[type-arg]
    assert features_key(*changed(tokenizer)) != features_key(SHAPE, rows(), tokenizer, ENCODING)
    assert features_key(SHAPE, rows(), tokenizer, ENCODING) == features_key(SHAPE, rows(), tokenizer, ENCODING)


def test_another_vocabulary_is_another_key(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = features_key(SHAPE, rows(), tokenizer, ENCODING)
    other = load_tokenizer(tiny_model())
    other.rust.add_tokens(["first"])
    assert features_key(SHAPE, rows(), other, ENCODING) != before
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert features_key(SHAPE, rows(), tokenizer, ENCODING) != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda home: (home / "input_ids.npy").write_bytes(
            (home / "input_ids.npy").read_bytes()[:-1] + b"\x7f"  # a flipped byte
        ),
        lambda home: (home / "offsets.npy").write_bytes(b""),
        lambda home: (home / "read.npy").unlink(),
        lambda home: (home / "features.json").write_text("{"),
        lambda home: (home / "features.json").write_text("{}"),
    ],
)
def test_what_is_damaged_is_made_anew(
    tmp_path: Path, tokenizer: Tokenizer, calls: list[int], damage: Callable[[Path], object]
) -> None:
    kept_features(tmp_path, SHAPE, rows(), tokenizer, ENCODING)
    damage(tmp_path / features_key(SHAPE, rows(), tokenizer, ENCODING))
    again = kept_features(tmp_path, SHAPE, rows(), tokenizer, ENCODING)
    assert calls == [20, 20]
    assert same(again, encode_in_chunks(SHAPE, rows(), tokenizer, ENCODING))


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StoreError, match="disk is full"):
        kept_features(tmp_path, SHAPE, rows(), tokenizer, ENCODING)
    assert list(tmp_path.iterdir()) == []


def test_no_examples_at_all(tmp_path: Path, tokenizer: Tokenizer) -> None:
    assert kept_features(tmp_path, SHAPE, [], tokenizer, ENCODING).num_sequences == 0
