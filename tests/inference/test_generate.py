"""Greedy decoding is transformers' own, token for token, whatever rows go together; constrained decoding too."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from tiny_text_models import FAMILIES, text_folder
from xstilts.batching.texts import encode_texts, gather_texts, padded_batches
from xstilts.errors import ModelError
from xstilts.inference.generate import Allowed, generate, write_answers
from xstilts.models.text_model import TextModel
from xstilts.task_types import PairExample
from xstilts.task_types.cast import Rendered
from xstilts.tasks import load
from xstilts.text_hyperparameters import TextEncoding

ENCODING = TextEncoding(max_input_length=64, max_target_length=12)


def rows_of_many_lengths(count: int = 13) -> list[Rendered]:
    """The longest about ten times the shortest."""
    draw = np.random.default_rng(0)
    words = ["cat", "dog", "mat", "xyz", "12", "a", "hypothesis"]
    return [Rendered(" ".join(draw.choice(words, n)), None) for n in draw.integers(1, 12, count)]


def reference(model: TextModel, texts: list[list[int]], **options: Any) -> list[tuple[int, ...]]:
    """transformers' ``generate`` on the whole padded batch, cut at its end token."""
    longest = max(map(len, texts))
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    plain = AutoModelForSeq2SeqLM.from_pretrained(model.source).eval()
    made = plain.generate(
        input_ids=ids, attention_mask=(ids != 0).long(), do_sample=False, num_beams=1, max_new_tokens=12, **options
    )
    end = options.get("eos_token_id", 1)
    return [tuple(row[1 : row.index(end, 1) if end in row[1:] else None]) for row in made.tolist()]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [10_000, 40, 1])
def test_greedy_is_that_of_transformers(family: str, tied: bool, budget: int) -> None:
    model = TextModel.load(text_folder(family, tied=tied))
    said = rows_of_many_lengths()
    features = encode_texts(said, model.tokenizer, ENCODING)
    found = generate(model, features, max_new_tokens=12, micro_batch_tokens=budget)
    texts = [encoded.ids for encoded in model.tokenizer.encode([each.inputs for each in said])]
    wanted = reference(model, texts)
    assert [each.ids for each in found] == wanted
    assert len(set(wanted)) > 5, "the test needs answers that differ"


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_end_leave_and_the_others_go_on_as_before(family: str) -> None:
    model = TextModel.load(text_folder(family))
    said = rows_of_many_lengths(40)
    features = encode_texts(said, model.tokenizer, ENCODING)
    free = generate(model, features, max_new_tokens=12, micro_batch_tokens=10_000)
    counts = Counter(token for each in free for token in set(each.ids[2:9]) - set(each.ids[:2]))
    model.config.eos_token_id = end = min(counts, key=lambda token: abs(counts[token] - 20))  # half of them write it
    found = generate(model, features, max_new_tokens=12, micro_batch_tokens=10_000)
    texts = [encoded.ids for encoded in model.tokenizer.encode([each.inputs for each in said])]
    assert [each.ids for each in found] == reference(model, texts, eos_token_id=end)
    assert {each.ended for each in found} == {True, False}
    assert len({len(each.ids) for each in found if each.ended}) > 1
    assert all(len(each.ids) == 12 for each in found if not each.ended)


@pytest.mark.parametrize("family", FAMILIES)
def test_constrained_is_that_of_transformers_and_always_an_answer(family: str) -> None:
    model = TextModel.load(text_folder(family))
    targets = ("0", "1", "2", "different_meaning", "paraphrase", "para")
    allowed = Allowed.of(targets, model.tokenizer)
    said = rows_of_many_lengths()
    features = encode_texts(said, model.tokenizer, ENCODING)
    found = generate(model, features, max_new_tokens=30, micro_batch_tokens=60, allowed=allowed)
    texts = [encoded.ids for encoded in model.tokenizer.encode([each.inputs for each in said])]

    def may_follow(_: int, ids: torch.Tensor) -> list[int]:
        return list(allowed.next.get(tuple(ids.tolist()[1:]), (0,)))

    wanted = reference(model, texts, prefix_allowed_tokens_fn=may_follow)
    assert [each.ids[:12] for each in found] == [each[:12] for each in wanted]
    assert all(each.ended and model.tokenizer.rust.decode(list(each.ids)) in targets for each in found)


def test_constrained_answers_are_never_unparsable_and_free_ones_of_a_random_model_always() -> None:
    model, task = TextModel.load(text_folder()), load("xnli")
    cast = task.text_cast
    assert cast is not None
    examples = [PairExample(str(k), "the cat " * k, "a dog", None) for k in range(1, 9)]
    flaws = {}
    for constrained in (True, False):
        rows, counts = write_answers(
            model, cast, examples, ENCODING, constrained=constrained, micro_batch_tokens=200, progress=None
        )
        assert [row["id"] for row in rows] == [example.id for example in examples]
        assert counts["tokens_written"] == sum(row["tokens"] for row in rows)
        flaws[constrained] = [cast.parse(e, r["text"])["flaws"] for e, r in zip(examples, rows, strict=True)]
    assert flaws[True] == [[]] * 8
    assert flaws[False] == [["unparsable"]] * 8


def test_answers_a_vocabulary_cannot_tell_apart_are_refused() -> None:
    model = TextModel.load(text_folder())
    with pytest.raises(ModelError, match="cannot tell these answers apart"):
        Allowed.of(("\u4e00", "\u4e8c"), model.tokenizer)


def test_what_is_not_a_number_is_not_written() -> None:
    model = TextModel.load(text_folder())
    with torch.no_grad():
        model.transformer.lm_head.weight.fill_(torch.inf)
    with pytest.raises(ModelError, match="not a finite number"):
        generate(
            model,
            encode_texts(rows_of_many_lengths(2), model.tokenizer, ENCODING),
            max_new_tokens=3,
            micro_batch_tokens=100,
        )


def test_what_is_cut_is_counted() -> None:
    model = TextModel.load(text_folder())
    said = [Rendered("a " * 100, "b " * 30), Rendered("a", "b")]
    features = encode_texts(said, model.tokenizer, ENCODING)
    assert features.inputs.lengths.tolist()[0] == 64
    assert features.inputs.ids[features.inputs.offsets[1] - 1] == model.end_id
    assert features.counts == {"dropped_tokens": 37, "truncated_examples": 1, "truncated_targets": 1}


def test_batches_hold_their_budget_and_every_row_once() -> None:
    draw = np.random.default_rng(3)
    inputs, targets = draw.integers(1, 40, 200), draw.integers(1, 9, 200)
    batches = padded_batches(np.arange(200), inputs, targets, 100)
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    padded = [(inputs[rows].max() + targets[rows].max()) * len(rows) for rows in batches]
    assert max(padded) <= 100
    assert len(batches) < 80


def test_a_padded_batch_is_what_it_says() -> None:
    model = TextModel.load(text_folder())
    features = encode_texts([Rendered("a b", "1"), Rendered("a b c d", "1 2 3")], model.tokenizer, ENCODING)
    batch = gather_texts(features, np.array([1, 0]), model.padding_id, model.device)
    assert batch.mask.sum(1).tolist() == features.inputs.lengths[[1, 0]].tolist()
    assert batch.targets is not None
    assert ((batch.targets == -100).sum(1).tolist())[0] == 0
    assert batch.input_ids[1, int(batch.mask[1].sum()) - 1] == model.end_id


@pytest.mark.parametrize("family", FAMILIES)
def test_forced_lengths_are_those_of_transformers(family: str) -> None:
    model = TextModel.load(text_folder(family))
    said = rows_of_many_lengths()
    features = encode_texts(said, model.tokenizer, ENCODING)
    free = generate(model, features, max_new_tokens=12, micro_batch_tokens=40)
    model.config.eos_token_id = end = free[0].ids[3]  # the first row would end there
    found = generate(model, features, max_new_tokens=12, min_new_tokens=12, micro_batch_tokens=40)
    assert {len(each.ids) for each in found} == {12} and not any(end in each.ids for each in found)
    texts = [encoded.ids for encoded in model.tokenizer.encode([each.inputs for each in said])]
    assert [each.ids for each in found] == reference(model, texts, eos_token_id=end, min_new_tokens=12)
