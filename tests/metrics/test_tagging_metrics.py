"""Chunk F1 is seqeval 0.0.12's, on bare tags and on BIO tags."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xstilts.errors import GoldError, PredictionError
from xstilts.metrics.tagging import chunks, ner_metric, pos_metric

UPOS = [
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
]
BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
ODD = ["O", "S-PER", "E-PER", "B-A-B", "I-O", "N-O", "OTHER", ".", ".-PER", "_", "B-", "I"]

GOLD = ["DET", "NOUN", "NOUN", "VERB", "CCONJ", "PRON", "ADV", "PUNCT"]
FOUND = ["DET", "NOUN", "VERB", "VERB", "SCONJ", "PRON", "ADV", "PUNCT"]
"""Eight tokens, six right. Seven chunks in each (``NOUN NOUN`` is one, so is ``VERB VERB``), four of them right."""


def oracle_folder(version: str) -> Path:
    variable = {"0.0.12": "XSTILTS_SEQEVAL_0012", "1.2.2": "XSTILTS_SEQEVAL_122"}[version]
    if not os.environ.get(variable):
        pytest.skip(f"seqeval {version} is not there: {variable} names its folder (make oracles)")
    return Path(os.environ[variable])


@pytest.fixture(scope="module")
def seqeval_0012() -> types.ModuleType:
    """The one module that is needed, by its path: the package itself imports keras."""
    path = oracle_folder("0.0.12") / "seqeval" / "metrics" / "sequence_labeling.py"
    spec = importlib.util.spec_from_file_location("seqeval_0012", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def seqeval_122(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The whole package; of scikit-learn it takes one class of warning, made here."""
    folder = oracle_folder("1.2.2")
    exceptions = types.ModuleType("sklearn.exceptions")
    vars(exceptions)["UndefinedMetricWarning"] = UserWarning
    monkeypatch.setitem(sys.modules, "sklearn", types.ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", exceptions)
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("seqeval.metrics.sequence_labeling")
    for name in [name for name in sys.modules if name.split(".")[0] == "seqeval"]:
        del sys.modules[name]


def test_the_eight_token_example() -> None:
    scores = pos_metric([GOLD], [FOUND], "en")
    assert scores["f1"] == pytest.approx(100 * 4 / 7)
    assert scores["token_accuracy"] == 75.0


def test_seqeval_122_gives_another_number_on_the_same_example(seqeval_122: types.ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = 100 * seqeval_122.f1_score([GOLD], [FOUND])
    ours = pos_metric([GOLD], [FOUND], "en")["f1"]
    assert abs(theirs - ours) > 5
    assert theirs == pytest.approx(100 * 5 / 7), "it takes SCONJ for CCONJ"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("NOUN NOUN NOUN", {("NOUN", 0, 2)}),
        ("NOUN VERB VERB", {("NOUN", 0, 0), ("VERB", 1, 2)}),
        ("SYM SYM", {("SYM", 0, 0), ("SYM", 1, 1)}),
        ("SCONJ CCONJ CCONJ", {("SCONJ", 0, 0), ("CCONJ", 1, 2)}),
        ("INTJ INTJ", {("INTJ", 0, 1)}),
        ("B-PER I-PER O B-LOC B-LOC", {("PER", 0, 1), ("LOC", 3, 3), ("LOC", 4, 4)}),
        ("O I-PER I-PER", {("PER", 1, 2)}),
        ("B-PER I-LOC", {("PER", 0, 0), ("LOC", 1, 1)}),
        ("O O", set()),
    ],
)
def test_chunks_of_one_sentence(tags: str, expected: set[tuple[str, int, int]]) -> None:
    assert chunks([tags.split()]) == expected


def test_no_chunk_crosses_a_sentence_boundary() -> None:
    assert chunks([["NOUN"], ["NOUN"]]) == {("NOUN", 0, 0), ("NOUN", 2, 2)}


def test_sconj_and_cconj_are_different_types() -> None:
    assert pos_metric([["CCONJ"]], [["SCONJ"]], "en")["f1"] == 0.0


def test_one_wrong_tag_breaks_the_whole_chunk() -> None:
    scores = pos_metric([["NOUN", "NOUN"]], [["NOUN", "VERB"]], "en")
    assert scores == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "token_accuracy": 50.0}


def test_entities_are_counted_over_all_sentences_together() -> None:
    golds = [["B-PER", "I-PER"], ["B-LOC", "O", "B-ORG"]]
    found = [["B-PER", "I-PER"], ["B-LOC", "O", "O"]]
    scores = ner_metric(golds, found, "de")
    assert scores["precision"] == 100.0
    assert scores["recall"] == pytest.approx(200 / 3)
    assert scores["f1"] == pytest.approx(80.0)
    assert scores["token_accuracy"] == 80.0


def pairs_of_sentences(tags: list[str]) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    """Sentences of (gold tag, predicted tag)."""
    pair = st.tuples(st.sampled_from(tags), st.sampled_from(tags))
    return st.lists(st.lists(pair, min_size=1, max_size=12), min_size=1, max_size=4)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.one_of(*(pairs_of_sentences(tags) for tags in (UPOS, UPOS[:4], BIO, UPOS + BIO + ODD))))
def test_equal_to_seqeval_0012_to_the_last_digit(
    seqeval_0012: types.ModuleType, rows: list[list[tuple[str, str]]]
) -> None:
    golds = [[gold for gold, _ in row] for row in rows]
    found = [[prediction for _, prediction in row] for row in rows]
    assert pos_metric(golds, found, "en") == {
        "f1": 100 * seqeval_0012.f1_score(golds, found),
        "precision": 100 * seqeval_0012.precision_score(golds, found),
        "recall": 100 * seqeval_0012.recall_score(golds, found),
        "token_accuracy": 100 * seqeval_0012.accuracy_score(golds, found),
    }
    assert ner_metric(golds, found, "en") == pos_metric(golds, found, "en")


@settings(max_examples=100)
@given(rows=pairs_of_sentences(UPOS))
def test_gold_against_itself_is_100(rows: list[list[tuple[str, str]]]) -> None:
    golds = [[gold for gold, _ in row] for row in rows]
    assert set(pos_metric(golds, golds, "en").values()) == {100.0}


@pytest.mark.parametrize(
    ("golds", "predictions", "error", "words"),
    [
        ([["X"], ["X"]], [["X"]], PredictionError, "1 predictions for 2 gold rows"),
        ([["X", "X"]], [["X"]], PredictionError, "sentence 0 has 1 predicted tags, its gold has 2"),
        ([["X"], None], [["X"], ["X"]], GoldError, "row 1"),
        ([], [], GoldError, "no gold"),
        ([()], [()], GoldError, "no gold tag"),
        ([["X"]], [[""]], PredictionError, "not empty"),
        ([["X"]], ["X"], PredictionError, "sequence of tags"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    golds: list[list[str]], predictions: list[list[str]], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        pos_metric(golds, predictions, "en")
