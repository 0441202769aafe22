"""Every derived value equals what is computed by hand from round runs; verdicts, void and withheld come out in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from timed_world import (
    GIB,
    World,
    tatoeba_systems,
    world,
    xnli_systems,
)
from xstilts.errors import MissingNameError, StoreError
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.report.impact.answers import Answers, impact
from xstilts.report.impact.gate import Score
from xstilts.report.impact.measured import measurements
from xstilts.report.impact.work import work_of


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return measured(tmp_path_factory.mktemp("xnli"))


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return measured(tmp_path_factory.mktemp("tatoeba"), "tatoeba", tatoeba_systems())


def measured(root: Path, target: str = "xnli", systems: Any = None, **settings: Any) -> Answers:
    made = world(root)
    made.measure(target, systems or xnli_systems(), **settings)
    (found,) = impact(made.save()).answers
    return found


def slower(name: str, by: float) -> Any:
    """A change of every run of one system."""

    def change(system: str, run: dict[str, Any]) -> None:
        if system == name:
            for of in run["offline"].values():
                of["seconds"] = [by * s for s in of["seconds"]]

    return change


def test_costs_of_a_system(answers: Answers) -> None:
    big = answers.shown[0].speed
    assert big is not None
    assert big.offline_seconds == pytest.approx(10)
    assert big.seconds_per_1000 == pytest.approx(10 / 200 * 1000)
    assert big.sequences_per_second == pytest.approx(20)
    assert big.tokens_per_second == pytest.approx(500)
    assert big.peak_share == pytest.approx(4e9 / 10 / 4e9)  # against the better of the two peaks
    assert big.memory_bytes == 2 * GIB
    assert [big.share("encode_s"), big.share("decode_s")] == pytest.approx([0.1, 0.02])
    assert big.startup == {"import_s": 3.0, "load_s": 0.5, "first_call_s": 0.2, "warmup_s": 1.0}


def test_the_price_of_a_language(answers: Answers) -> None:
    big = answers.shown[0].speed
    assert big is not None
    english, german = big.cost("en"), big.cost("de")
    assert english is not None and german is not None
    assert english.sequences_per_second == pytest.approx(25)  # 100 in 4 s
    assert english.tokens_per_second == pytest.approx(500)  # 2,000 in 4 s
    assert (english.tokens_per_example, german.tokens_per_example) == (20, 30)
    assert german.seconds_per_1000 / english.seconds_per_1000 == pytest.approx(1.5)


def test_latency_is_over_all_queries_of_all_runs(answers: Answers) -> None:
    big = answers.shown[0].speed
    assert big is not None and big.p90 is not None and big.p99 is not None
    assert len(big.latencies) == 4 * 2 * 2 * 45
    assert [big.p50, big.p90.estimate, big.p99.estimate] == pytest.approx([0.1, 0.1, 0.1], rel=0.003)


def test_too_few_queries_have_no_p99(tmp_path: Path) -> None:
    def few(_: str, run: dict[str, Any]) -> None:
        for of in run["single_stream"].values():
            of["latencies_s"], of["turns"] = of["latencies_s"][:40], of["turns"][:40]  # 640 of all runs; 662 are needed

    speed = measured(tmp_path, each_run=few).shown[0].speed
    assert speed is not None and speed.p90 is not None and speed.p99 is not None
    assert speed.p90.estimate is not None
    assert (speed.p99.estimate, speed.p99.queries, speed.p99.needed) == (None, 640, 662)


def test_arms_of_the_same_graph_are_equivalent(answers: Answers) -> None:
    assert [c.problem for c in answers.checks] == [""] * 4
    assert {(r.system.name, r.metric) for r in answers.ratios} == {
        (f"{model}/nli", metric) for model in ("big", "half") for metric in ("offline", "single_stream")
    }
    for ratio in answers.ratios:
        assert ratio.verdict == "equivalent"
        assert ratio.comparison is not None
        assert ratio.comparison.ratio == pytest.approx(1)  # the four block differences sum to 0
        assert ratio.comparison.pairs == 4
    sabotaged = answers.checks[0].sabotaged
    assert sabotaged is not None and sabotaged.ratio == pytest.approx(1.05) and sabotaged.verdict == "slower"


def test_a_block_is_the_unit_and_its_two_runs_are_averaged(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def change(system: str, run: dict[str, Any]) -> None:
        if system == "big/nli":
            seen[system] = seen.get(system, 0) + 1
            factor = 1.21 if seen[system] % 2 else 1.0  # the first run of each block: 1.1 in the mean of logs
            for of in run["offline"].values():
                of["seconds"] = [factor * s for s in of["seconds"]]

    found = measured(tmp_path, each_run=change)
    (ratio,) = [r for r in found.ratios if (r.system.name, r.metric) == ("big/nli", "offline")]
    assert ratio.comparison is not None and ratio.comparison.ratio == pytest.approx(1.1)
    assert ratio.verdict == "slower"


def test_a_control_that_is_not_equivalent_makes_the_verdicts_void(tmp_path: Path) -> None:
    found = measured(tmp_path, each_run=slower("big/none control", 1.04))
    verdicts = {(r.system.name, r.metric): r.verdict for r in found.ratios}
    assert verdicts["big/nli", "offline"] == "void: control not equivalent"
    assert verdicts["big/nli", "single_stream"] == verdicts["half/nli", "offline"] == "equivalent"


def test_a_sabotaged_system_that_is_not_slower_makes_the_verdicts_void(tmp_path: Path) -> None:
    found = measured(tmp_path, each_run=slower("big/none +5 %", 1 / 1.05))
    verdicts = {(r.system.name, r.metric): r.verdict for r in found.ratios}
    assert verdicts["big/nli", "offline"].startswith("void: sabotaged system not found slower")


def test_a_missing_control_makes_the_verdicts_void(tmp_path: Path) -> None:
    systems = {name: of for name, of in xnli_systems().items() if of["role"] != "control"}
    assert {r.verdict for r in measured(tmp_path, systems=systems).ratios} == {"void: no control"}


def test_without_a_margin_there_is_no_verdict(tmp_path: Path) -> None:
    found = measured(tmp_path, margin=None)
    assert (found.checks, found.ratios) == ((), ())
    assert found.shown


def test_retrieval_reads_a_layer_and_drops_those_above(retrieval: Answers) -> None:
    reads = {r.standing.system.name: r for r in retrieval.layers}
    assert reads["big/none last"].answer == "reference"
    best = reads["big/nli calibrated"]
    assert best.comparison is not None
    assert best.comparison.ratio == pytest.approx(0.5)  # 2 of 4 layers
    assert (best.delta, best.answer, best.rule) == (8, "yes", "best on BUCC dev")
    assert (reads["big/nli last"].answer, reads["big/nli last"].delta) == ("no", -1)
    assert best.curve == {0: 12.0, 1: 40.0, 2: 60.0, 3: 58.0, 4: 51.0}
    score = reads["big/nli last"].standing.score
    assert score is not None and score.value == 51  # of layer 4, not of the layer that the rule takes


def test_another_layer_is_no_same_graph(retrieval: Answers) -> None:
    assert {r.system.name for r in retrieval.ratios} == {"big/nli last"}


def test_faster_but_worse_is_no_answer(tmp_path: Path) -> None:
    systems = tatoeba_systems()
    systems["big/nli calibrated"] |= {"layer": 1, "pass_s": 2.5}  # 40 points against 52
    found = measured(tmp_path, "tatoeba", systems)
    (read,) = [r for r in found.layers if r.standing.system.name == "big/nli calibrated"]
    assert (read.delta, read.answer) == (-12, "no")


def test_a_layer_that_was_not_scored_is_withheld(tmp_path: Path) -> None:
    systems = tatoeba_systems()
    systems["big/nli calibrated"]["layer"] = 9
    found = measured(tmp_path, "tatoeba", systems)
    (read,) = [r for r in found.layers if r.standing.system.name == "big/nli calibrated"]
    assert read.answer == "withheld: no score at layer 9 in de"


def test_speed_at_equal_score(answers: Answers) -> None:
    found = {e.standing.system.name: e for e in answers.equal["offline"]}
    half = found["half/nli"]  # scores 66: six tenths of the way from half/none (60, 25 s) to big/none (70, 50 s)
    assert half.speed_up == pytest.approx(2**0.6)
    assert half.low < 2**0.6 < half.high
    big = found["big/nli"]  # 75 is above every baseline: nothing is extrapolated
    assert big.speed_up is None
    assert big.words.startswith("no baseline arm scores as much: the best measured has 70.0")
    assert [e.speed_up for e in answers.equal["memory"]] == [None, pytest.approx(2**0.6)]


def test_below_the_front_nothing_is_extrapolated(retrieval: Answers) -> None:
    found = {e.standing.system.name: e for e in retrieval.equal["offline"]}
    assert found["big/nli last"].speed_up is None
    assert found["big/nli last"].words == "below the baseline's front, which begins at 55.0"


def test_fronts_are_apart_for_arms_with_and_without(answers: Answers, retrieval: Answers) -> None:
    assert [s.system.name for s in answers.fronts["offline"]] == ["half/none", "big/none", "half/nli", "big/nli"]
    assert [s.system.name for s in retrieval.fronts["offline"]] == ["big/none calibrated", "big/nli calibrated"]


def test_training_cost_beside_the_gain(answers: Answers, retrieval: Answers) -> None:
    by_name = {s.system.name: s for s in answers.standings}
    cost = answers.trainings["big/nli"]
    assert (cost.intermediate_seconds, cost.target_seconds, cost.seconds) == (300, 100, 400)
    assert (cost.intermediate_tokens, cost.target_tokens, cost.tokens) == (40_000, 10_000, 50_000)
    assert answers.trainings["big/none"].intermediate_tokens == 0
    assert (answers.delta(by_name["big/nli"]), answers.delta(by_name["big/none"])) == (5, None)
    calibrated = {s.system.name: s for s in retrieval.standings}["big/nli calibrated"]
    assert retrieval.delta(calibrated) == 5  # over the baseline arm at its own calibrated layer, 55


def test_windows_are_of_the_scored_rows(answers: Answers) -> None:
    work = answers.works["big/none"]
    assert (work.windows_per_example, work.dropped_tokens, work.candidates) == (1.25, 6, None)


def test_mined_pairs_are_counted_against_the_threshold_of_their_layer(tmp_path: Path) -> None:
    made = World(Store(tmp_path))
    pairs = [["a", "x", 1.3], ["b", "y", 1.1], ["b", "y", 1.1], ["c", "z", 0.9]]
    outputs = [{"layer": 2, "pooling": "mean", "pairs": pairs}, {"layer": 1, "pooling": "mean", "pairs": pairs[:1]}]
    files = {"counts.json": {"de": {"dropped_tokens": 0}}, "outputs/de.jsonl": outputs}
    mined = made.finish(Node("retrieve", {}, {}, {}, 1), files)
    thresholds = {"de": {"2 mean": 1.0, "1 mean": 9.0}, "fr": {"2 mean": 2.0}}
    said = {"pooling": "mean", "rule": "best", "thresholds": thresholds}
    calibrate = made.finish(Node("calibrate", {}, {}, {}, 1), {"calibration.json": said})
    node = Node("score", {}, {"predictions": mined.key, "calibration": calibrate.key}, {}, 1)
    made.finish(node, {"scores.json": []})
    work = work_of(made.store, Score(50.0, 1.0, 4, {"de": 50.0}, node.key, mined.key, 2))
    assert (work.candidates, work.kept, dict(work.thresholds)) == (4, 2, {"de": 1.0})


def test_what_is_not_finished_is_said(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.measure("xnli", xnli_systems())
    made.measured.append({"measurement": "arms", "target": "tatoeba", "split": "test", "key": "0" * 64})
    assert impact(made.save()).unfinished == ("arms: tatoeba, test",)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    yield world(tmp_path)


def test_nothing_measured_says_what_to_do(empty: World) -> None:
    with pytest.raises(StoreError, match="nothing is measured here") as caught:
        impact(empty.save())
    assert "measurements:" in caught.value.hint
    empty.measured.append({"measurement": "arms", "target": "xnli", "split": "test", "key": "0" * 64})
    with pytest.raises(StoreError) as caught:
        impact(empty.save())
    assert "planned: arms: xnli, test" in caught.value.hint


def test_an_unknown_study_has_near_names(empty: World) -> None:
    empty.save()
    with pytest.raises(MissingNameError, match="did you mean 'small'"):
        impact(empty.store, "smal")


def test_a_measurement_that_was_changed_is_refused(empty: World) -> None:
    key = empty.measure("xnli", xnli_systems())
    store = empty.save()
    file = store.path(key) / "runs.jsonl"
    file.write_text(file.read_text().replace('"block": 0', '"block": 1', 1))
    with pytest.raises(StoreError, match=rf"node {key[:12]} is damaged: runs\.jsonl"):
        measurements(store)
