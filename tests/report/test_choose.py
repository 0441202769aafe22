"""``choose`` takes the best score within the limits, shows its evidence, and says why nothing else was taken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from timed_world import tatoeba_systems, world, xnli_systems
from xstilts.errors import MissingNameError, StoreError, XstiltsError
from xstilts.graph.store import Store
from xstilts.report.impact.answers import impact
from xstilts.report.impact.choose import Choice, Limits, as_json, choose, evidence_lines
from xstilts.report.impact.page import page_markdown


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = world(tmp_path_factory.mktemp("store"))
    made.measure("xnli", xnli_systems())
    made.measure("tatoeba", tatoeba_systems())
    return made.save()


def chosen(store: Store, *, target: str = "xnli", languages: Sequence[str] | None = None, **limits: Any) -> Choice:
    return choose(store, target, Limits(**limits), languages)


def name(of: Choice) -> str:
    return of.chosen.standing.system.name


def test_without_limits_the_best_score(store: Store) -> None:
    found = chosen(store)
    assert name(found) == "big/nli"
    assert [(c.standing.system.name, why) for c, why in found.others] == [
        ("big/none", "5.0 points lower"),
        ("half/nli", "9.0 points lower"),
        ("half/none", "15.0 points lower"),
    ]


def test_limits_leave_the_best_of_those_that_meet_them(store: Store) -> None:
    assert name(chosen(store, max_p99_ms=60)) == "half/nli"
    assert name(chosen(store, max_memory_gib=1.5)) == "half/nli"
    assert name(chosen(store, min_score=70)) == "big/nli"
    why = {c.standing.system.name: why for c, why in chosen(store, max_p99_ms=60, min_score=64).others}
    assert why == {
        "big/nli": "p99 100 ms is above 60 ms",
        "big/none": "p99 100 ms is above 60 ms",
        "half/none": "score 60.0 is below 64",
    }


def test_scores_and_costs_are_over_the_languages_asked_for(store: Store) -> None:
    english = as_json(chosen(store, languages=["en"]))
    assert english["chosen"]["score"] == 84
    assert english["chosen"]["seconds_per_1000"] == pytest.approx(40)
    assert (english["chosen"]["queries"], english["chosen"]["p99_s"]) == (360, None)


def test_evidence(store: Store) -> None:
    found = chosen(store)
    evidence = as_json(found)["chosen"]
    assert (evidence["model"], evidence["arm"], evidence["score"], evidence["score_rows"]) == ("big", "nli", 75, 800)
    assert evidence["p99_s"] == pytest.approx(0.1, rel=0.003)
    assert (evidence["training_seconds"], evidence["training_tokens"]) == (400, 50_000)
    assert store.has(evidence["score_key"]) and store.has(evidence["measure_key"])
    said = "\n".join(evidence_lines(found.chosen))
    for part in ("75.0 ± 2.1", "800 rows", "p50 100 ms, p90 100 ms, p99 100 ms", "2.00 GiB", "400 device-seconds"):
        assert part in said
    json.dumps(as_json(found), allow_nan=False)


def test_p99_that_the_queries_cannot_show_does_not_meet_a_limit(store: Store) -> None:
    with pytest.raises(XstiltsError, match="meets p99 of at most 1000 ms") as caught:
        chosen(store, languages=["en"], max_p99_ms=1000)  # 360 queries in English
    assert "p99 is not known: 360 queries, 662 are needed" in caught.value.hint
    assert "p99 not known (360 queries, 662 are needed)" in "\n".join(
        evidence_lines(chosen(store, languages=["en"]).chosen)
    )


def test_nothing_meets_the_limits_names_the_nearest(store: Store) -> None:
    with pytest.raises(XstiltsError, match="no measured arm of xnli meets p99 of at most 40 ms") as caught:
        chosen(store, max_p99_ms=40)
    assert caught.value.hint.startswith("nearest: half/none")
    assert "p99 50.0 ms is above 40 ms" in caught.value.hint


def test_among_equal_scores_the_cheaper(tmp_path: Path) -> None:
    made = world(tmp_path)
    systems = xnli_systems(("big",))
    made.measure("xnli", systems)
    made.measure("xnli", {n: of | {"pass_s": 0.5 * of["pass_s"]} for n, of in systems.items()}, measurement="faster")
    found = chosen(made.save())
    assert (name(found), found.chosen.standing.measured.name) == ("big/nli", "faster")
    assert found.others[0][1] == "as good, but not cheaper"


def test_what_is_withheld_is_not_chosen(tmp_path: Path) -> None:
    made = world(tmp_path)
    systems = xnli_systems()
    systems["big/nli"]["agreement"] = {"en": 0.9, "de": 1.0}
    made.measure("xnli", systems)
    found = chosen(made.save())
    assert name(found) == "big/none"
    assert ("big/nli", "withheld: too few answers equal the scored ones: en 90.0 %") in [
        (c.standing.system.name, why) for c, why in found.others
    ]
    assert name(chosen(made.store, languages=["de"])) == "big/nli"  # in German all answers agree


def test_retrieval_chooses_a_layer_too(store: Store) -> None:
    found = chosen(store, target="tatoeba")
    assert name(found) == "big/nli calibrated"
    assert as_json(found)["chosen"]["layer"] == 2
    assert "layer 2 of 4" in "\n".join(evidence_lines(found.chosen))


def test_names_that_are_not_there(store: Store) -> None:
    with pytest.raises(MissingNameError, match="did you mean 'xnli'"):
        chosen(store, target="xnly")
    with pytest.raises(StoreError, match="nothing is measured for udpos") as caught:
        chosen(store, target="udpos")
    assert caught.value.hint == "measured: tatoeba, xnli"
    with pytest.raises(MissingNameError, match="unknown measured language 'fr'"):
        chosen(store, languages=["fr"])


def test_a_store_without_measurements(tmp_path: Path) -> None:
    made = world(tmp_path)
    with pytest.raises(StoreError, match="nothing is measured for xnli") as caught:
        chosen(made.save())
    assert "measurements:" in caught.value.hint


def test_memory_that_is_not_known_does_not_meet_a_limit(tmp_path: Path) -> None:
    def unknown(system: str, run: dict[str, Any]) -> None:
        run["memory"]["peak_bytes"] = None

    made = world(tmp_path)
    made.measure("xnli", xnli_systems(), each_run=unknown)
    store = made.save()
    assert name(chosen(store)) == "big/nli"
    with pytest.raises(XstiltsError, match="at most 5 GiB") as caught:
        chosen(store, max_memory_gib=5)
    assert "memory is not known" in caught.value.hint


def test_a_model_with_random_weights_is_never_chosen(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.measure("xnli", xnli_systems())
    store = made.save()
    payload = store.studies()["small"]
    store.save_study("small", {**payload, "random": {"big": "xlm-r-xl, seed 1"}})
    found = choose(Store(store.root), "xnli", Limits())
    assert name(found) == "half/nli"
    assert {c.standing.system.model for c, why in found.others if why.startswith("its weights are random")} == {"big"}
    page = page_markdown(impact(Store(store.root)))
    assert "RANDOM WEIGHTS in big" in page
    assert "RANDOM WEIGHTS: big was not pre-trained" in page
