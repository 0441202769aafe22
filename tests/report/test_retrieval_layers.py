"""Did training help retrieval, or did the best layer move? Readings and curves equal what a person computes by hand."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from rich.console import Console

from xstilts.report.grid import grid_markdown
from xstilts.report.retrieval_layers import Layers, layer_grids, layers_json, layers_of
from xstilts.report.show import show_grids

STUDY: dict[str, Any] = {
    "models": {"m": {}},
    "targets": ["xnli", "tatoeba"],
    "arms": {"none": {"intermediate": None}, "nli": {"intermediate": "mnli"}},
    "seeds": [1, 2],
}
NONE = {6: 40.0, 7: 50.0, 8: 30.0}
MOVED = {6: 50.0, 7: 45.0, 8: 30.0}  # the same best score, one layer below
RULE, FIXED = 6, 7


def sweep(arm: str, curve: Mapping[int, float], *, up: Mapping[int, float] | None = None) -> Iterator[dict[str, Any]]:
    """Rows as a score node leaves them: two languages, 10 points apart, each seed ``up`` more; another pooling is 5 less."""
    best = max(curve, key=lambda layer: curve[layer])
    for seed, more in (up or {1: 0.0, 2: 2.0}).items():
        for language, apart in (("de", 5.0), ("sw", -5.0)):
            for layer, score in curve.items():
                for pooling, less in (("mean", 0.0), ("first", 5.0)):
                    names = ["curve"]
                    if pooling == "mean":
                        names += ["rule"] * (layer == RULE) + ["fixed_layer"] * (layer == FIXED)
                        names += ["best_on_test"] * (layer == best)
                    for selection in names:
                        yield {
                            "model": "m",
                            "arm": arm,
                            "target": "tatoeba",
                            "split": "test",
                            "language": language,
                            "seed": seed,
                            "metric": "accuracy",
                            "value": score + more + apart - less,
                            "layer": layer,
                            "pooling": pooling,
                            "selection": selection,
                        }


ROWS = [*sweep("none", NONE), *sweep("nli", MOVED)]


def layers(rows: list[dict[str, Any]]) -> Layers:
    (found,) = layers_of(rows, STUDY)
    return found


def test_each_reading_is_the_mean_over_languages_and_seeds_and_its_delta_is_paired() -> None:
    found = layers(ROWS)
    none, nli = found.readings["none"], found.readings["nli"]
    assert {name: r.score for name, r in none.items()} == {"rule": 41.0, "fixed": 51.0, "best": 51.0}
    assert {name: r.score for name, r in nli.items()} == {"rule": 51.0, "fixed": 46.0, "best": 51.0}
    assert {name: r.delta for name, r in nli.items()} == {"rule": 10.0, "fixed": -5.0, "best": 0.0}
    assert {r.delta for r in none.values()} == {None}
    assert (none["best"].places, nli["best"].places) == (("7 mean",), ("6 mean",))
    assert found.languages == ("de", "sw")


def test_the_curve_has_every_layer_and_pooling() -> None:
    found = layers(ROWS)
    assert {place: arms["none"] for place, arms in found.curve.items() if place[1] == "mean"} == {
        (layer, "mean"): score + 1 for layer, score in NONE.items()
    }
    assert found.curve[6, "first"] == {"none": 36.0, "nli": 46.0}
    values = {(r["arm"], r["places"][0]): r["value"] for r in layers_json([found]) if r["reading"] == "curve"}
    assert len(values) == 12 and values["nli", "8 first"] == 26.0


def test_a_delta_is_over_the_seeds_that_both_have_and_seeds_may_differ_in_their_best_layer() -> None:
    later = {8: 90.0, 7: 10.0, 6: 10.0}
    rows = [*sweep("none", NONE, up={1: 0.0}), *sweep("nli", MOVED, up={1: 0.0}), *sweep("nli", later, up={2: 0.0})]
    best = layers(rows).readings["nli"]["best"]
    assert best.places == ("6 mean", "8 mean")
    assert (best.score, best.delta) == (70.0, 0.0)


def test_only_languages_that_every_arm_has_are_compared() -> None:
    found = layers([row for row in ROWS if (row["arm"], row["language"]) != ("nli", "sw")])
    assert found.languages == ("de",)
    assert found.readings["none"]["rule"].score == 46.0


def test_one_layer_is_nothing_to_compare_and_other_metrics_do_not_mix_in() -> None:
    assert layers_of([row for row in ROWS if row["layer"] == RULE], STUDY) == []
    more = [{**row, "metric": "precision", "value": 0.0} for row in ROWS if row["selection"] == "rule"]
    assert layers([*ROWS, *more]).readings == layers(ROWS).readings
    classified = [{**row, "target": "xnli", "layer": None, "selection": "dev"} for row in ROWS]
    assert layers_of(classified, STUDY) == []


def test_the_tables_show_it() -> None:
    readings, curve = layer_grids([layers(ROWS)], "mean")
    assert readings.rows == (
        ("none", "6 mean", "41.0", "7 mean", "51.0", "7 mean", "51.0"),
        ("nli", "6 mean", "51.0 +10.0", "7 mean", "46.0 -5.0", "6 mean", "51.0 +0.0"),
    )
    assert curve.columns == ("layer", "none", "nli") and curve.rows[1] == ("7", "51.0", "46.0")
    assert "a bound, not a choice" in grid_markdown(readings)


@pytest.mark.parametrize(("grids", "said"), [(True, "which layer"), (False, "no retrieval")])
def test_they_are_printed_or_it_is_said_that_there_are_none(grids: bool, said: str) -> None:
    text = io.StringIO()
    show_grids(layer_grids([layers(ROWS)], "mean") if grids else [], Console(file=text, width=120))
    assert said in text.getvalue()
