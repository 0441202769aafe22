"""What a card's tables look like and claim, and the layer of exported vectors where BUCC's test pools were mined at it."""

from __future__ import annotations

import json
from pathlib import Path

from xstilts.exporting.card import Content, card
from xstilts.exporting.licences import Licence
from xstilts.exporting.lineage import Lineage, Score
from xstilts.exporting.sentence_transformers_folder import _calibrated
from xstilts.graph.node import Node
from xstilts.graph.store import Store

TRAINED = Node("train", {"task": "udpos"}, {}, {"arm": "pos", "role": "target"})
STUDY = {
    "name": "s",
    "source": "en",
    "arms": {"pos": {"intermediate": None}},
    "targets": ["udpos", "tatoeba"],
}
GROUPS = {"udpos": {"group": "tagging"}, "tatoeba": {"group": "retrieval"}}


def score(target: str, metric: str, language: str, value: float, status: str = "ok") -> Score:
    return Score(target, "test", metric, language, value, (value,), None, 100, True, status)


def known(store: Store, *scores: Score) -> Lineage:
    stage = TRAINED.as_json() | {"attempt": {}}
    return Lineage(store, TRAINED.key, (stage,), {"study": STUDY, "targets": GROUPS}, scores)


def text(of: Lineage) -> list[str]:
    licence = Licence("other", ("a reason",))
    return card(Content("n", "tagging", "transformers", "load", (), of, (), licence, False)).splitlines()


def test_scores_say_which_f1_they_are_where_they_are_zero_shot_and_what_a_mark_at_a_mean_means(tmp_path: Path) -> None:
    scores = (
        score("udpos", "f1", "en", 90.0),
        score("udpos", "f1", "qaa", 10.0, "chance"),
        score("udpos", "f1", "", 50.0, "chance"),
        score("tatoeba", "accuracy", "en", 40.0),
    )
    lines = text(known(Store(tmp_path), *scores))
    at = lines.index("**udpos**, test rows, zero-shot but for `en`:")
    assert lines[at + 2 : at + 7] == [
        "| language | rows | chunk F1 |",  # guessing was not kept: no empty column
        "| --- | ---: | ---: |",
        "| en | 100 | 90.0 |",
        "| qaa | 100 | 10.0! |",
        "| **mean** | 100 | 50.0! |",
    ]
    assert "**tatoeba**, test rows:" in lines
    assert "! at chance, or one constant answer; at a mean: so in at least one of its languages." in lines


def test_vectors_are_of_the_layer_at_which_test_pools_were_mined(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calibrated = Node("calibrate", {})
    out = store.begin(calibrated)
    (out / "calibration.json").write_text(json.dumps({"layer": 1, "pooling": "mean", "rule": "the rule"}))
    store.commit(calibrated, out, {})
    mined = Node("retrieve", {}, {"model": TRAINED.key, "calibration": calibrated.key})
    scored = Node("score", {}, {"predictions": mined.key, "calibration": calibrated.key})
    for nodes in ((mined,), (mined, scored)):
        payload = {"nodes": [node.as_json() for node in (TRAINED, calibrated, *nodes)]}
        layer, pooling, why = _calibrated(Lineage(store, TRAINED.key, (), payload))
        assert (layer, pooling) == (1, "mean")
        assert "the rule" in why
