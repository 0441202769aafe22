"""Score nodes keep what each row gives to their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from test_rows import placed
from test_scoring import BUCC, SAID, TATOEBA, XNLI, mined, run_score, swept
from xstilts.metrics.kept import read_contributions
from xstilts.tasks import load


def kept(folder: Path, language: str = "de") -> Path:
    return folder / "out" / "rows" / f"{language}.npz"


def test_labels(tmp_path: Path) -> None:
    entry, resources = placed(XNLI, tmp_path)
    spec = {"task": "xnli", "split": "test", "languages": {"de": entry}, "rows": None}
    run_score(tmp_path, spec, {"de": SAID}, resources)
    assert read_contributions(kept(tmp_path)).values == {"right": [1, 1, 0]}


def test_tags(tmp_path: Path) -> None:
    entry, resources = placed({"test-de.tsv": "a\nb\n\nc\n", "gold.tsv": "X\nNOUN\n\nVERB\n"}, tmp_path)
    spec = {"task": "udpos", "split": "test", "languages": {"de": entry}, "rows": None}
    run_score(tmp_path, spec, {"de": [{"tags": ["X", "NOUN"]}, {"tags": ["X"]}]}, resources)
    found = read_contributions(kept(tmp_path)).values
    assert (found["right"], found["gold"], found["tags"], found["right_tags"]) == ([2, 0], [2, 1], [2, 1], [2, 0])


def test_retrieval_keeps_the_layer_of_the_rule(tmp_path: Path) -> None:
    entry, resources = placed(TATOEBA, tmp_path)
    spec = {"task": "tatoeba", "split": "test", "languages": {"de": entry}, "rows": None}
    outputs = swept({(0, "mean"): 1, (1, "mean"): 2, (2, "mean"): 0})
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 2, "thresholds": {}}
    rows = run_score(tmp_path, spec, {"de": outputs}, resources, calibration)
    found = read_contributions(kept(tmp_path))
    (rule,) = [row["value"] for row in rows if row["selection"] == "rule"]
    assert load("tatoeba").metric.scores(found.sums())["accuracy"] == rule  # type: ignore[attr-defined]
    assert found.values == {"right": [1, 1, 0]}


def test_mined_pairs_are_kept_above_the_threshold_of_dev(tmp_path: Path) -> None:
    entry, resources = placed({"x.de": BUCC["de"], "x.en": BUCC["en"], "gold.tsv": BUCC["gold"]}, tmp_path)
    spec = {"task": "bucc2018", "split": "test", "languages": {"de": entry}, "rows": None}
    outputs = [mined(1, ("d1", "e1", 3.0), ("d2", "e2", 2.0), ("d3", "e3", 1.0))]
    calibration = {"layer": 1, "pooling": "mean", "fixed_layer": 1, "thresholds": {"de": {"1 mean": 2.5}}}
    run_score(tmp_path, spec, {"de": outputs}, resources, calibration)
    found = read_contributions(kept(tmp_path))
    assert (found.units, found.values["predicted"]) == (["d1", "d2"], [1, 0])


@pytest.mark.parametrize("gold", [{}, {"gold.tsv": XNLI["gold.tsv"]}])
def test_without_gold_nothing_is_kept(tmp_path: Path, gold: dict[str, Any]) -> None:
    entry, resources = placed({"test-de.tsv": XNLI["test-de.tsv"], **gold}, tmp_path)
    spec = {"task": "xnli", "split": "test", "languages": {"de": entry}, "rows": None}
    run_score(tmp_path, spec, {"de": SAID}, resources)
    assert kept(tmp_path).exists() == bool(gold)
