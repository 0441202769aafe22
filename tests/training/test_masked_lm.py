"""Masked LM: what is hidden, who is drawn, and that a model made from nothing learns from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from pydantic import ValidationError
from scipy import stats
from toys import word_tokenizer
from transformers import AutoModelForMaskedLM

from xstilts.batching.masking import Masking, masked
from xstilts.errors import DataError, ModelError
from xstilts.hyperparameters import Architecture, MaskedLM, Pretraining, Training
from xstilts.models.loading import load_tokenizer
from xstilts.models.model import Model
from xstilts.models.scratch import make_model
from xstilts.task_types import Tokenizer
from xstilts.task_types.base import FeatureBuilder, Features
from xstilts.training.course import MicroBatch
from xstilts.training.masked_lm import Corpus, MaskedLMCourse, Texts, encode_corpora, shares
from xstilts.training.pretrain import pretrain

MASKING = Masking(share=0.15, mask_id=4, special_ids=(0, 1, 2, 3, 4), vocabulary=105)
CPU = torch.device("cpu")
UNLIKELY = 1e-3
"""A seeded draw that is as declared has a p-value above this; what it is was looked at once and stays."""
WORDS = ["bado", "kelu", "mira", "sonte", "gapu", "rile", "doma", "tesk"]
TEXTS = Texts(
    {
        "en": [f"{a} {b} {a}." for a in WORDS for b in WORDS],
        "qaa": [f"{a[::-1]} {b[::-1]} {a[::-1]}." for a in WORDS for b in WORDS],
    },
    {"qaa": [(f"{a[::-1]} {b[::-1]}", f"{a} {b}") for a in WORDS for b in WORDS]},
)
SMALL = Architecture(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, vocabulary=90, max_length=32)
SETTINGS = Pretraining(
    languages=("en", "qaa"),
    bitext="text/{language}-en.tsv",
    translation=0.5,
    model=SMALL,
    training=Training(
        max_steps=60, batch_size=16, learning_rate=3e-3, selection="last", dropout=0.0, attention_dropout=0.0
    ),
)


def sentences(count: int, length: int = 22) -> Features:
    builder, draws = FeatureBuilder(), np.random.default_rng(3)
    for i in range(count):
        ids = [0, *draws.integers(5, 105, length - 2).tolist(), 2]
        builder.add(i, ids, [0] * length, ())
    return builder.build(count, None)


def test_as_many_are_hidden_as_declared_and_80_10_10_of_them_become_mask_other_and_themselves() -> None:
    features = sentences(2000)
    hidden = masked(features, np.arange(2000), MASKING, np.random.default_rng(0))
    assert hidden.targets is not None
    at = hidden.offsets[:-1].repeat(np.diff(hidden.read_offsets)) + hidden.read
    now = hidden.input_ids[at]
    assert stats.binomtest(len(at), 2000 * 20, 0.15).pvalue > UNLIKELY
    assert (features.input_ids[at] == hidden.targets).all()
    is_mask, is_same = now == MASKING.mask_id, now == hidden.targets
    fates = [is_mask.sum(), is_same.sum(), (~is_mask & ~is_same).sum()]
    by_chance = 0.1 / 100  # another sub-word may happen to be the same
    expected = np.array([0.8, 0.1 + by_chance, 0.1 - by_chance]) * len(at)
    assert stats.chisquare(fates, expected).pvalue > UNLIKELY
    others = np.bincount(now[~is_mask & ~is_same], minlength=105)[5:]
    assert stats.chisquare(others).pvalue > UNLIKELY, "any ordinary sub-word is as likely"
    untouched = np.delete(np.arange(len(hidden.input_ids)), at)
    assert (hidden.input_ids[untouched] == features.input_ids[untouched]).all()
    assert not np.isin(hidden.targets, MASKING.special_ids).any()


@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
def test_every_place_is_hidden_as_often_as_any_other_and_at_every_share(share: float) -> None:
    features = sentences(3000)
    hidden = masked(features, np.arange(3000), replace(MASKING, share=share), np.random.default_rng(1))
    places = np.bincount(hidden.read, minlength=22)
    assert places[0] == places[-1] == 0, "special ones"
    assert stats.chisquare(places[1:-1]).pvalue > UNLIKELY
    assert stats.binomtest(int(places.sum()), 3000 * 20, share).pvalue > UNLIKELY


def test_other_draws_hide_other_places() -> None:
    features = sentences(50)
    first, again, other = (masked(features, np.arange(50), MASKING, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.input_ids, again.input_ids) and np.array_equal(first.read, again.read)
    assert not np.array_equal(first.input_ids, other.input_ids)


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    with pytest.raises(ModelError, match="no mask"):
        Masking.of(word_tokenizer(), 0.15)


@pytest.mark.real_model
def test_of_the_real_vocabulary_no_special_sub_word_is_hidden_or_put_in(e5_small: Path) -> None:
    masking = Masking.of(load_tokenizer(e5_small), 0.15)
    assert masking.mask_id == 250_001 and masking.vocabulary == 250_002
    assert set(masking.special_ids) == {0, 1, 2, 3, 250_001}


def test_something_is_always_hidden() -> None:
    features = sentences(1, 4)
    rare = Masking(1e-9, 4, (0, 1, 2, 3, 4), 105)
    assert len(masked(features, np.array([0]), rare, np.random.default_rng(0)).read) == 1


def course(steps: int = 50, size: int = 8) -> MaskedLMCourse:
    settings = Training(max_steps=steps, batch_size=size, selection="last")
    return MaskedLMCourse(sentences(40), [Corpus(0, 10, 0.75), Corpus(10, 30, 0.25)], MASKING, settings, seed=7)


def parts(of: MaskedLMCourse, number: int, budget: int) -> list[MicroBatch]:
    return list(of.step(number, budget, CPU).micro_batches)


def test_corpora_are_drawn_by_their_shares() -> None:
    first = Counter(int(row) < 10 for step in range(400) for m in parts(course(), step, 10_000) for row in m.rows)
    assert first[True] / first.total() == pytest.approx(0.75, abs=0.02)


def test_a_step_is_a_pure_function_of_its_number_and_masks_do_not_depend_on_the_micro_batches() -> None:
    whole, again = parts(course(), 5, 10_000), parts(course(), 5, 10_000)
    cut = parts(course(), 5, 50)
    assert len(whole) == 1 and len(cut) > 1
    assert torch.equal(whole[0].batch.input_ids, again[0].batch.input_ids)
    assert torch.equal(whole[0].batch.input_ids, torch.cat([m.batch.input_ids for m in cut]))
    assert torch.equal(whole[0].targets, torch.cat([m.targets for m in cut]))
    assert not torch.equal(whole[0].batch.input_ids, parts(course(), 6, 10_000)[0].batch.input_ids)


def test_lines_of_unknown_characters_alone_are_left_out_and_counted() -> None:
    """A step of nothing but such lines would have nothing to predict."""
    rust = word_tokenizer().rust
    rust.add_special_tokens(["<s>", "</s>", "<pad>", "<unk>", "<mask>"])
    tokenizer = Tokenizer(rust, unknown_id=3, mask_id=rust.token_to_id("<mask>"))
    unknown, told = "\u16a0\u16b1", MaskedLM(languages=("en",))  # runes
    known = toys.WORDS[0]
    features, (corpus,) = encode_corpora(Texts({"en": [known, unknown, known]}, {}), tokenizer, told, 16)
    assert (corpus.size, features.num_sequences, features.counts["lines_without_words"]) == (2, 2, 1)
    with pytest.raises(DataError, match="no line of en has a sub-word"):
        encode_corpora(Texts({"en": [unknown]}, {}), tokenizer, told, 16)


def test_alpha_lifts_small_languages() -> None:
    assert shares([900, 100], 1.0) == pytest.approx([0.9, 0.1])
    assert shares([900, 100], 0.0) == pytest.approx([0.5, 0.5])
    assert shares([900, 100], 0.3)[1] == pytest.approx(100**0.3 / (900**0.3 + 100**0.3))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object], list[float]]:
    start, out = tmp_path_factory.mktemp("start"), tmp_path_factory.mktemp("out")
    losses: list[float] = []
    counts = pretrain(
        TEXTS,
        SETTINGS,
        start=start,
        out=out,
        precision="fp32",
        device="cpu",
        micro_batch_tokens=4096,
        progress=lambda done, of, unit, **shown: losses.append(shown["loss"]),
    )
    return out / "model", counts, losses


def test_a_model_made_from_nothing_learns(trained: tuple[Path, dict[str, object], list[float]]) -> None:
    _, counts, losses = trained
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert counts["lines"] == {"en": 64, "qaa": 64} and counts["translations"] == {"qaa": 64}


def test_transformers_loads_it_as_a_masked_lm_with_equal_logits(
    trained: tuple[Path, dict[str, object], list[float]],
) -> None:
    folder, _, _ = trained
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
    ours = Model.load(folder)
    ids = ours.tokenizer.encode([TEXTS.text["en"][5]])[0].ids
    features = FeatureBuilder()
    features.add(0, ids, [0] * len(ids), range(len(ids)))
    from xstilts.batching import gather

    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0]
        found = ours.logits(gather(features.build(1, None), np.array([0]), CPU))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_equal_text_and_seed_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        make_model(tmp_path / name, SMALL, TEXTS.text["en"], seed)
    content = {n: {p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in "abc"}
    assert content["a"] == content["b"]
    assert content["a"]["tokenizer.json"] == content["c"]["tokenizer.json"]
    assert content["a"]["model.safetensors"] != content["c"]["model.safetensors"]


def test_what_cannot_be_trained_is_refused_in_the_study_file() -> None:
    with pytest.raises(ValidationError, match="multiple"):
        Architecture(hidden_size=32, num_heads=3)
    with pytest.raises(ValidationError, match="no dev score"):
        Pretraining.model_validate({"languages": ["en"], "training": {"selection": "dev"}})
    assert Pretraining.model_validate({"languages": ["en"], "training": {}}).training.selection == "last"


def test_sub_words_are_those_of_words_and_their_characters_leave_the_space_out(tmp_path: Path) -> None:
    make_model(tmp_path, SMALL, TEXTS.text["en"], 1)
    text = "kelu mira. bado"
    encoded = load_tokenizer(tmp_path).encode([text])[0]
    pieces = [text[first:last] for first, last in encoded.offsets if last > first]
    assert "".join(pieces) == text.replace(" ", "") and not any(" " in piece for piece in pieces)
