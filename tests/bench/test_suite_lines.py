"""Every line of the suite runs on a minute model, its contenders agree, and its check finds answers that are not the same."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip(
        "benchmarks/ is not here: tests run in an unpacked sdist, or not as python -m pytest", allow_module_level=True
    )
pytest.importorskip("faiss")

from benchmarks.lines import LINES, answer, classify, embed, masked_lm, search, tag, train
from benchmarks.peers import BEST, DEFAULT
from benchmarks.race import Race, Timed
from benchmarks.random_encoder import make_encoder, shape_of
from benchmarks.rows import in_batches, positions
from benchmarks.setting import Setting
from transformers import XLMRobertaModel

from xstilts.data.conll import UPOS
from xstilts.data.pairs import NLI_LABELS
from xstilts.inference.search import Neighbours
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.task_types import Head, TaggingExample

NEEDS = {"embed": ("sentence_transformers", "onnxruntime"), "train": ("accelerate",), "masked-lm": ("accelerate",)}
pytestmark = pytest.mark.filterwarnings("ignore")  # peers' own


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    scratch = tmp_path_factory.mktemp("suite")
    make_encoder(scratch / "encoder", shape_of(32, 2, 4, 64, 1000), seed=0)
    return Setting(
        model=scratch / "encoder",
        random="minute",
        data=None,
        scratch=scratch,
        rows=16,
        training_rows=64,
        curve_steps=4,
        search_rows=300,
        seed=0,
    )


def raced(setting: Setting, line: str) -> Iterator[tuple[Race, dict[str, Any]]]:
    """Each race and what its contenders answer."""
    for module in NEEDS.get(line, ()):
        pytest.importorskip(module)
    for race in LINES[line](setting):
        answers = {}
        for name, contender in race.contenders.items():
            answer = contender.make().call()
            answers[name] = answer.value if isinstance(answer, Timed) else answer
        yield race, answers


@pytest.mark.parametrize("line", LINES)
def test_contenders_do_the_same_work_and_agree(setting: Setting, line: str) -> None:
    for race, answers in raced(setting, line):
        assert race.base in race.contenders
        assert all(contender.work > 0 and contender.flops for contender in race.contenders.values())
        found = race.check(answers)
        assert found.holds, found.as_json()


@pytest.mark.parametrize("line", ["classify", "tag", "answer"])
def test_what_is_said_to_be_computed_is_what_runs_through_the_encoder(
    setting: Setting, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    plain = XLMRobertaModel.forward

    def counting(self: Any, input_ids: Any = None, **others: Any) -> Any:
        counted.append(input_ids.numel())
        return plain(self, input_ids, **others)

    monkeypatch.setattr(XLMRobertaModel, "forward", counting)
    (race,) = LINES[line](setting)
    for name, contender in race.contenders.items():
        ready = contender.make()
        counted.clear()
        ready.call()
        assert ready.computed == sum(counted), name
        assert sum(counted) >= contender.work
    assert race.contenders[race.base].make().computed == race.contenders[race.base].work


def test_positions_are_those_of_blocks_as_wide_as_their_longest() -> None:
    batches = in_batches(np.array([3, 9, 4, 5, 2]), 2)
    assert [batch.tolist() for batch in batches] == [[3, 9], [4, 5], [2]]
    assert positions(batches) == 2 * 9 + 2 * 5 + 2
    assert positions(batches, 128) == 5 * 128


@pytest.mark.parametrize("line", ["classify", "embed", "train", "masked-lm"])
def test_contenders_agree_in_bfloat16(setting: Setting, line: str) -> None:
    for race, answers in raced(replace(setting, precision="bf16"), line):
        found = race.check(answers)
        assert found.holds, found.as_json()


def test_labels_that_differ_are_found(setting: Setting) -> None:
    ((race, answers),) = raced(setting, "classify")
    assert len({row["label"] for row in answers[classify.OURS]}) > 1
    wrong = deepcopy(answers)
    sure = max(range(len(wrong[classify.OURS])), key=lambda i: np.ptp(wrong[classify.OURS][i]["scores"]))
    wrong[BEST][sure]["label"] = NLI_LABELS[int(np.argmin(wrong[classify.OURS][sure]["scores"]))]
    assert not race.check(wrong).holds
    shifted = deepcopy(answers)
    shifted[BEST].append(shifted[BEST].pop(0))  # answers in another order than the rows
    assert not race.check(shifted).holds


def test_tags_that_differ_are_found(setting: Setting) -> None:
    ((race, answers),) = raced(setting, "tag")
    wrong = deepcopy(answers)
    wrong[DEFAULT][2][0]["entity"] = next(t for t in UPOS if t != wrong[DEFAULT][2][0]["entity"])
    assert not race.check(wrong).holds
    missing = deepcopy(answers)
    del missing[BEST][2][0]
    assert "no answer" in race.check(missing).differences[0].where


def test_a_tag_is_read_at_the_first_subword_of_its_word() -> None:
    example = TaggingExample("s", ("ab", "c"), None)
    entities = [
        {"start": 0, "entity": "NOUN", "score": 0.9},
        {"start": 1, "entity": "VERB", "score": 0.9},
        {"start": 3, "entity": "VERB", "score": 0.9},
    ]
    chances = np.zeros((2, len(UPOS)))
    chances[0, UPOS.index("NOUN")] = chances[1, UPOS.index("VERB")] = 0.9
    answers = {tag.OURS: [{"tags": ["NOUN", "VERB"]}], DEFAULT: [entities], BEST: [entities]}
    assert not tag.same_tags(answers, [example], chances, tag.NEAR[0]).differences


def test_spans_that_differ_are_found(setting: Setting) -> None:
    ((race, answers),) = raced(setting, "answer")
    wrong = deepcopy(answers)
    wrong[answer.BEST][0]["score"] += 0.1
    assert not race.check(wrong).holds


def test_vectors_that_differ_are_found() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    assert embed.same_vectors({"a": vectors, "b": 3 * vectors}, "a", 1e-4).holds
    wrong = vectors.copy()
    wrong[3] = vectors[2]
    found = embed.same_vectors({"a": vectors, "b": wrong}, "a", 1e-4)
    assert [d.where for d in found.differences] == ["text 3: b"]
    assert not embed.same_vectors({"a": vectors, "b": wrong * np.nan}, "a", 1e-4).holds


def test_neighbours_that_differ_are_found_and_ties_are_not(setting: Setting) -> None:
    queries, candidates = search.vectors(300, 0)
    (_, answers), _ = raced(setting, "search")
    (forward,) = answers[search.OURS]
    wrong = Neighbours(forward.scores, np.roll(forward.indices, 1, axis=0))
    answers = {search.OURS: [forward], search.PEER: [wrong]}
    assert not search.same_neighbours(answers, (queries, candidates)).holds
    twins = candidates.copy()
    first, second = forward.indices[0, :2]
    twins[second] = twins[first]
    swapped = Neighbours(forward.scores[:1], forward.indices[:1][:, [1, 0, 2, 3]])
    answers = {search.OURS: [Neighbours(forward.scores[:1], forward.indices[:1])], search.PEER: [swapped]}
    found = search.same_neighbours(answers, (queries, twins))
    assert found.holds
    assert len(found.differences) == 2
    for name, margins in ((search.OURS, [1.1, 1.0, 0.9, 0.8]), (search.PEER, [1.0, 1.1, 0.9, 0.8])):
        answers[name].append(np.array([margins]))
    assert search.same_neighbours(answers, (queries, twins)).holds  # a tie's margins are those of other pairs
    answers[search.PEER][-1] = np.array([[1.0, 1.1, 0.9, 0.7]])
    assert not search.same_neighbours(answers, (queries, twins)).holds


def test_loss_curves_that_differ_are_found() -> None:
    curve = [1.1 - 0.01 * i for i in range(20)]
    noise = np.random.default_rng(0).normal(0, 0.1, 20)
    assert train.compared(curve, [x + 0.001 for x in curve], train.NEAR[0], exact=True).holds
    assert not train.compared(curve, [*curve[:-1], 0.5], train.NEAR[0], exact=True).holds
    assert train.compared(curve, (curve + noise).tolist(), train.NEAR[0], exact=False).holds
    assert not train.compared(curve, (curve + noise + 0.3).tolist(), train.NEAR[0], exact=False).holds
    assert not train.compared([*curve[:-1], float("nan")], curve, train.NEAR[0], exact=True).holds


def test_a_loss_of_other_weights_is_found(setting: Setting, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    (race,) = LINES["masked-lm"](setting)
    assert race.check({}).holds
    head = Head("masked_lm", setting.vocabulary)
    other = Model.start(setting.model, head, 1)
    export(other, tmp_path / "other", "masked_lm", "masked_lm")
    course = masked_lm.course_of(setting, steps=2)
    assert not masked_lm.same_loss(setting, tmp_path / "other", head, course).holds
