"""Logits in reading order whatever the batches; scored outputs from perfect logits; windows rejoined."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

import xstilts.inference.predict as module
from xstilts.batching import Batch
from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.inference.predict import predict, predict_logits
from xstilts.task_types import (
    Answer,
    ChoiceExample,
    Classification,
    Features,
    MultipleChoice,
    PairExample,
    Span,
    SpanExample,
    Tagging,
    TaggingExample,
    TaskType,
    Tokenizer,
)

WORDS = [f"w{i}" for i in range(30)]
SHORT = Encoding(max_length=16, stride=4)
TYPES: dict[str, TaskType] = {
    "classification": Classification(("no", "maybe", "yes")),
    "multiple_choice": MultipleChoice(3),
    "tagging": Tagging(("A", "B", "C")),
    "span": Span(),
}
SHAPES = tuple(TYPES)


def word_tokenizer() -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    rust = RustTokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    rust.pre_tokenizer = WhitespaceSplit()
    rust.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return Tokenizer(rust, unknown_id=3)


class Echo(nn.Module):
    """Logits that depend on the sub-word read, its place and its sequence's length: any mix-up shows."""

    def __init__(self, num_outputs: int = 2) -> None:
        super().__init__()
        self.num_outputs, self.tokenizer, self.device = num_outputs, word_tokenizer(), torch.device("cpu")
        self.batches: list[Batch] = []

    def logits(self, batch: Batch) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.batches.append(batch)
        lengths = torch.tensor(batch.lengths)
        firsts = lengths.cumsum(0) - lengths
        owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths)[batch.read]
        rows = batch.input_ids[batch.read] + 0.01 * (batch.read - firsts[owner]) + 1000 * lengths[owner]
        return rows[:, None] * torch.arange(1, self.num_outputs + 1)


def made(task_type: TaskType, kind: type[Echo] = Echo) -> Any:
    """A model with as many outputs as the shape needs; ``Any``, because it has only what predicting asks of a Model."""
    assert task_type.head is not None
    return kind(task_type.head.num_outputs)


def id_of(model: Any, word: str) -> int:
    found: int = model.tokenizer.rust.token_to_id(word)
    return found


def golds_of(task_type: TaskType, features: Features) -> np.ndarray[Any, Any]:
    """Logits that give each item its target and nothing else: the perfect model."""
    assert features.targets is not None
    assert task_type.head is not None
    logits = np.zeros((len(features.read), task_type.head.num_outputs), np.float32)
    if task_type.name == "multiple_choice":
        logits.reshape(features.num_examples, -1)[np.arange(features.num_examples), features.targets] = 9
    elif task_type.name == "span":
        for window, (start, end) in enumerate(features.targets):
            logits[features.read_offsets[window] + start, 0] = 9
            logits[features.read_offsets[window] + end, 1] = 9
    else:
        logits[np.arange(len(logits)), features.targets] = 9
    return logits


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40)


@st.composite
def rows(draw: st.DrawFn, shape: str) -> list[Any]:
    """Some examples of a shape, many of them longer than a window."""

    def one(i: int) -> Any:
        if shape == "classification":
            return PairExample(
                str(i), " ".join(draw(words)), " ".join(draw(words)), draw(st.sampled_from(("no", "yes")))
            )
        if shape == "multiple_choice":
            choices = tuple(" ".join(draw(words)) for _ in range(3))
            return ChoiceExample(str(i), " ".join(draw(words)), choices, draw(st.integers(0, 2)))
        if shape == "tagging":
            sentence = draw(words)
            return TaggingExample(str(i), tuple(sentence), tuple(draw(st.sampled_from("ABC")) for _ in sentence))
        context = draw(words)
        first = draw(st.integers(0, len(context) - 1))
        text = " ".join(context[first : first + draw(st.integers(1, 3))])
        start = len(" ".join([*context[:first], ""]))
        return SpanExample(str(i), " ".join(draw(words)[:3]), " ".join(context), (Answer(text, start),))

    return [one(i) for i in range(draw(st.integers(1, 6)))]


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data(), budget=st.integers(1, 200))
@settings(max_examples=20)
def test_logits_come_in_reading_order_whatever_the_batches(shape: str, data: st.DataObject, budget: int) -> None:
    model: Any = Echo()
    features = TYPES[shape].encode(data.draw(rows(shape)), model.tokenizer, SHORT)
    found = predict_logits(model, features, micro_batch_tokens=budget)
    owner = np.repeat(np.arange(features.num_sequences), np.diff(features.read_offsets))
    ids = features.input_ids[features.offsets[owner] + features.read]
    wanted = ids + 0.01 * features.read + 1000 * features.lengths[owner]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted[:, None] * [1, 2], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
@settings(max_examples=40)
def test_perfect_logits_decode_to_the_gold(shape: str, data: st.DataObject) -> None:
    task_type, examples = TYPES[shape], data.draw(rows(shape))
    features = task_type.encode(examples, word_tokenizer(), SHORT)
    outputs = task_type.decode(examples, features, golds_of(task_type, features), SHORT)
    assert [o["id"] for o in outputs] == [e.id for e in examples]
    for output, example in zip(outputs, examples, strict=True):
        gold = task_type.gold(example)
        assert task_type.answer(output) == (gold[0] if shape == "span" else gold)


def test_perfect_logits_leave_an_unanswerable_question_unanswered() -> None:
    task_type = Span(unanswerable=True)
    contexts = [" ".join(WORDS), "w1 w2"]
    examples = [SpanExample("0", "w1", contexts[0], ()), SpanExample("1", "w1", contexts[1], (Answer("w2", 3),))]
    features = task_type.encode(examples, word_tokenizer(), SHORT)
    outputs = task_type.decode(examples, features, golds_of(task_type, features), SHORT)
    assert [task_type.answer(o) for o in outputs] == ["", "w2"]


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
@settings(max_examples=10)
def test_golds_change_no_prediction_batch(shape: str, data: st.DataObject) -> None:
    examples = data.draw(rows(shape))
    field = {"tagging": "tags", "span": "answers"}.get(shape, "label")
    seen = []
    for variant in (examples, [dataclasses.replace(e, **{field: None}) for e in examples]):
        model = made(TYPES[shape])
        outputs, _ = predict(model, TYPES[shape], variant, SHORT, micro_batch_tokens=60)
        tensors = [(b.input_ids.tolist(), b.type_ids.tolist(), b.lengths, b.read.tolist()) for b in model.batches]
        seen.append((tensors, outputs))
    assert seen[0] == seen[1]


class Finds(Echo):
    """Wants one word as the answer, wherever it stands."""

    def logits(self, batch: Batch) -> Tensor:
        self.batches.append(batch)
        wanted = batch.input_ids[batch.read].eq(id_of(self, "w29"))
        return 9.0 * wanted[:, None].expand(-1, 2)


def test_an_answer_in_a_later_window_only_is_found() -> None:
    model = made(Span(), Finds)
    context = " ".join(["w1"] * 20 + ["w29"] + ["w2"])
    example = SpanExample("q", "w3 w4", context, None)
    outputs, counts = predict(model, Span(), [example], SHORT, micro_batch_tokens=20)
    features = Span().encode([example], model.tokenizer, SHORT)
    first = features.input_ids[: features.offsets[1]]
    assert id_of(model, "w29") not in first
    assert counts["windows"] == features.num_sequences > 1
    assert (outputs[0]["text"], outputs[0]["start"]) == ("w29", context.index("w29"))


def test_split_sentences_are_rejoined() -> None:
    class Parity(Echo):
        def logits(self, batch: Batch) -> Tensor:
            odd = (batch.input_ids[batch.read] % 2).bool()
            return torch.stack([~odd, odd], 1).float()

    task_type = Tagging(("A", "B"))
    model = made(task_type, Parity)
    sentences = [[WORDS[(i * n) % 30] for i in range(n)] for n in (50, 1, 0, 14, 15, 40)]
    examples = [TaggingExample(str(n), tuple(s), None) for n, s in enumerate(sentences)]
    outputs, counts = predict(model, task_type, examples, SHORT, micro_batch_tokens=40)
    wanted = [["AB"[id_of(model, w) % 2] for w in s] for s in sentences]
    assert [o["tags"] for o in outputs] == wanted
    assert counts["sequences"] == 4 + 1 + 0 + 1 + 2 + 3  # 14 words fit beside the two special sub-words
    assert counts["examples"] == 6
    assert counts["tokens"] == sum(map(len, sentences)) + 2 * counts["sequences"]


@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_change_nothing(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task_type = TYPES[shape]
    texts = [" ".join(WORDS[: 1 + (7 * i) % 29]) for i in range(11)]
    examples_of: dict[str, list[Any]] = {
        "classification": [PairExample(str(i), t, None, None) for i, t in enumerate(texts)],
        "multiple_choice": [ChoiceExample(str(i), t, (t, "w1", "w2 w3"), None) for i, t in enumerate(texts)],
        "tagging": [TaggingExample(str(i), tuple(t.split()), None) for i, t in enumerate(texts)],
        "span": [SpanExample(str(i), "w1", t, None) for i, t in enumerate(texts)],
    }
    examples = examples_of[shape]
    results = []
    for chunk in (20_000, 4):
        monkeypatch.setattr(module, "CHUNK", chunk)
        shown: list[tuple[int, int, str]] = []
        model = made(task_type)
        results.append(
            predict(
                model,
                task_type,
                examples,
                SHORT,
                micro_batch_tokens=64,
                progress=lambda *now, shown=shown: shown.append(now),
            )
        )
        assert shown[-1] == (11, 11, "examples")
        assert [s[0] for s in shown] == sorted(s[0] for s in shown)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("first", "second", "dropped"), [(30, 20, 38), (5, 40, 33), (40, 5, 33), (10, 2, 0), (30, None, 16)]
)
def test_dropped_sub_words_are_counted_once(first: int, second: int | None, dropped: int) -> None:
    texts = [None if n is None else " ".join(["w1"] * n) for n in (first, second)]
    example = PairExample("0", texts[0] or "", texts[1], None)
    task_type = TYPES["classification"]
    _, counts = predict(made(task_type), task_type, [example], SHORT, micro_batch_tokens=64)
    assert counts["dropped_tokens"] == dropped
    assert counts["truncated_examples"] == (dropped > 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_empty_set_gives_no_outputs(shape: str) -> None:
    outputs, counts = predict(made(TYPES[shape]), TYPES[shape], [], SHORT, micro_batch_tokens=64)
    assert outputs == []
    assert not Counter(counts).total()


def test_the_models_mode_is_put_back_even_after_an_error() -> None:
    class Fails(Echo):
        def logits(self, batch: Batch) -> Tensor:
            raise ModelError("no")

    features = Tagging(("A",)).encode([TaggingExample("0", ("w1",), None)], word_tokenizer(), SHORT)
    for mode in (True, False):
        model: Any = Echo().train(mode)
        predict_logits(model, features, micro_batch_tokens=9)
        assert model.training is mode
        failing: Any = Fails().train(mode)
        with pytest.raises(ModelError):
            predict_logits(failing, features, micro_batch_tokens=9)
        assert failing.training is mode


def test_logits_that_are_not_numbers_are_refused() -> None:
    class Overflows(Echo):
        def logits(self, batch: Batch) -> Tensor:
            return super().logits(batch).masked_fill(batch.input_ids[batch.read, None] == 9, torch.inf)

    examples = [TaggingExample(str(i), ("w1", "w2", f"w{i}"), None) for i in range(8)]
    task_type = Tagging(("A", "B"))
    with pytest.raises(ModelError, match=r"1 of 8 examples are not finite .*example 5"):
        predict(made(task_type, Overflows), task_type, examples, SHORT, micro_batch_tokens=9)
