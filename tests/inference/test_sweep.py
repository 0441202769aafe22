from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layered_toys import LayeredModel, bitext, sentences

from xstilts.calibration import best_threshold
from xstilts.errors import ModelError
from xstilts.hyperparameters import Encoding
from xstilts.inference.sweep import sweep_mined, sweep_nearest

ENCODING = Encoding(max_length=20)
LAYERS, POOLINGS = (0, 2, 3), ("mean", "first")


def cosines(model: LayeredModel, left: list[str], right: list[str], layer: int, pooling: str) -> np.ndarray:
    sides = [np.stack([model.by_hand(t, layer, pooling, 20) for t in side]) for side in (left, right)]
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return np.asarray(a @ b.T)


def test_nearest_at_every_layer_and_pooling(tmp_path: Path) -> None:
    model = LayeredModel()
    queries, candidates = sentences(30, seed=1), sentences(50, seed=2)
    sweep = sweep_nearest(
        model, bitext(queries, candidates), ENCODING, layers=LAYERS, poolings=POOLINGS, scratch=tmp_path
    )
    rows = list(sweep.rows)
    assert len(rows) == len(LAYERS) * len(POOLINGS) * len(queries)
    for start, (layer, pooling) in enumerate((layer, pooling) for layer in LAYERS for pooling in POOLINGS):
        part = rows[start * 30 : (start + 1) * 30]
        assert {(r["layer"], r["pooling"]) for r in part} == {(layer, pooling)}
        assert [r["query"] for r in part] == [f"q-{i}" for i in range(30)]
        expected = cosines(model, queries, candidates, layer, pooling)
        scores = [expected[i, r["neighbour"]] for i, r in enumerate(part)]
        np.testing.assert_allclose(scores, expected.max(axis=1), atol=1e-6)
        np.testing.assert_allclose([r["score"] for r in part], scores, atol=1e-6)


def test_of_repeated_candidates_the_first_line_is_found(tmp_path: Path) -> None:
    sides = bitext(["w2", "w1", "w2"], ["w9", "w9", "w1", "w2", "w1", "w2"])
    sweep = sweep_nearest(LayeredModel(), sides, ENCODING, layers=[1], poolings=["mean"], scratch=tmp_path)
    assert [row["neighbour"] for row in sweep.rows] == [3, 2, 3]


def test_the_first_sub_word_of_the_embedding_output_ties_everywhere(tmp_path: Path) -> None:
    """At layer 0 the first token is <s> for all: the smallest index must come out, quickly."""
    sides = bitext(sentences(300, seed=3), sentences(400, seed=4))
    sweep = sweep_nearest(LayeredModel(), sides, ENCODING, layers=[0], poolings=["first"], scratch=tmp_path)
    assert {row["neighbour"] for row in sweep.rows} == {0}


def test_mined_pairs_at_every_layer(tmp_path: Path) -> None:
    """The same sentences on both sides in another order: the mean of layer 0 finds each one's copy."""
    queries = sorted(set(sentences(60, seed=5)))
    order = np.random.default_rng(6).permutation(len(queries))
    sides = bitext(queries, [queries[i] for i in order])
    gold = [(f"q-{i}", f"c-{place}") for place, i in enumerate(order)]
    sweep = sweep_mined(LayeredModel(), sides, ENCODING, layers=LAYERS, poolings=POOLINGS, scratch=tmp_path)
    rows = list(sweep.rows)
    for layer in LAYERS:
        part = [r for r in rows if (r["layer"], r["pooling"]) == (layer, "mean")]
        assert [r["margin"] for r in part] == sorted((r["margin"] for r in part), reverse=True)
        assert set(part[0]) == {"layer", "pooling", "source", "target", "margin"}
        # Bags of equal words are equal vectors at every layer of this encoder, hence not quite 100.
        assert best_threshold(part, gold).f1 > 95


def test_scratch_is_emptied_as_rows_are_read(tmp_path: Path) -> None:
    sides = bitext(["w1", "w2"], ["w2", "w3"])
    sweep = sweep_nearest(LayeredModel(), sides, ENCODING, layers=[0, 1], poolings=["mean"], scratch=tmp_path)
    left = []
    for row in sweep.rows:
        left.append((row["layer"], len(list(tmp_path.rglob("*.npy")))))
    assert left == [(0, 4), (0, 4), (1, 2), (1, 2)]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_is_not_read_can_be_closed(tmp_path: Path) -> None:
    sides = bitext(["w1"], ["w2"])
    sweep = sweep_nearest(LayeredModel(), sides, ENCODING, layers=[0], poolings=["mean"], scratch=tmp_path)
    sweep.close()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_embedding_leaves_no_scratch(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        sweep_mined(LayeredModel(), bitext(["w1"], ["w2"]), ENCODING, layers=[9], poolings=["mean"], scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_counts_and_progress_cover_both_sides(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    sweep = sweep_nearest(
        LayeredModel(),
        bitext(["w1 " * 30, "w1"], ["w2 " * 20, "w3", "w3"]),
        ENCODING,
        layers=[0],
        poolings=["mean"],
        scratch=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert sweep.counts == {"dropped_tokens": 12 + 2, "truncated_examples": 2}
    assert seen == [(2, 4), (4, 4)]
    sweep.close()
