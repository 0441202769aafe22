"""What a text-to-text model reads and writes is cut into sub-words once; a target that would be cut off is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tiny_text_models import text_folder
from xstilts.batching import kept_texts as module
from xstilts.batching.kept_texts import kept_texts
from xstilts.batching.texts import TextFeatures, encode_texts
from xstilts.errors import TrainingError
from xstilts.models.loading import load_tokenizer
from xstilts.task_types import Tokenizer
from xstilts.task_types.cast import Rendered
from xstilts.text_hyperparameters import TextEncoding
from xstilts.text_learning import refuse_cut_targets

SAID = [Rendered(f"read {i}", "write " * (i % 3)) for i in range(12)]
ENCODING = TextEncoding(max_input_length=40, max_target_length=30)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(text_folder())


def same(left: TextFeatures, right: TextFeatures) -> bool:
    assert left.targets is not None
    assert right.targets is not None
    pairs = [(left.inputs, right.inputs), (left.targets, right.targets)]
    arrays = all(np.array_equal(a.ids, b.ids) and np.array_equal(a.offsets, b.offsets) for a, b in pairs)
    return arrays and left.counts == right.counts


def test_made_once_and_equal_to_those_made_anew(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, calls = encode_texts(SAID, tokenizer, ENCODING), list[int]()

    def counted(said: list[Rendered], *rest: object) -> TextFeatures:
        calls.append(len(said))
        return encode_texts(said, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "encode_texts", counted)
    assert all(same(kept_texts(tmp_path, SAID, tokenizer, ENCODING), fresh) for _ in range(3))
    assert calls == [12]
    kept_texts(tmp_path, SAID[::-1], tokenizer, ENCODING)
    kept_texts(tmp_path, SAID, tokenizer, TextEncoding(max_input_length=39, max_target_length=30))
    assert calls == [12, 12, 12], "the rows and the lengths are in the key"


def test_rows_without_gold_have_no_targets(tmp_path: Path, tokenizer: Tokenizer) -> None:
    said = [Rendered("read", None)]
    assert kept_texts(tmp_path, said, tokenizer, ENCODING).targets is None
    assert kept_texts(tmp_path, said, tokenizer, ENCODING).targets is None, "read back"


def test_a_target_that_would_be_cut_is_refused_with_the_length_it_needs(tokenizer: Tokenizer) -> None:
    said = [*SAID, Rendered("read", "a" * 50)]
    needed = len(tokenizer.encode(["a" * 50])[0].ids)
    assert encode_texts(said, tokenizer, ENCODING).counts["truncated_targets"] == 1
    with pytest.raises(TrainingError, match=rf"1 of 13 training targets of udpos (?s:.*)set it to {needed} or more"):
        refuse_cut_targets("udpos", said, tokenizer, ENCODING)
