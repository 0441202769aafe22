"""The measurement node: what is run in which order, what is recorded, and what an interruption leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from measured_study import ARMS, SHORT, LocalSession, measured_study, sessions_here
from rich.console import Console

from tiny_world import command, run_command, tiny_data, write_study
from xstilts import journey
from xstilts.bench import measure as measuring
from xstilts.bench.measure import turns
from xstilts.bench.request import Request, Session, matrix_peak
from xstilts.errors import MeasurementError
from xstilts.execute import execute
from xstilts.graph.node import Node, Resources
from xstilts.graph.run import Summary
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.plan import Plan
from xstilts.report.show import show_run


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    home = tmp_path_factory.mktemp("measured")
    with journey.open_store(home / "store") as store:
        return journey.plan_study(write_study(home, measured_study()), tiny_data(), store, threads=1)


@pytest.fixture(scope="module")
def finished(planned: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Key -> output of every node but the measurements."""
    home, found = tmp_path_factory.mktemp("nodes"), {}
    for node in planned.graph:
        if node.kind != "measure":
            found[node.key] = home / node.key / "out"
            found[node.key].mkdir(parents=True)
            parents = {role: found[key] for role, key in node.parents.items()}
            execute(node, parents, found[node.key], resources(planned), Progress(lambda event: None))
    return found


def resources(planned: Plan) -> Resources:
    return Resources(planned.files, planned.models, threads=1, cores=1)


def node_of(planned: Plan, measurement: str) -> Node:
    (key,) = (m.key for m in planned.measured if m.measurement == measurement)
    return planned.graph.by_key[key]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """Sessions stay in this process; what they were asked."""
    import torch

    threads, found = torch.get_num_threads(), list[Request]()
    monkeypatch.setattr(measuring, "Session", sessions_here(found))
    monkeypatch.setattr(measuring, "matrix_peak", lambda *_: 1e9)
    yield found
    torch.set_num_threads(threads)


def run(planned: Plan, node: Node, finished: dict[str, Path], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    parents = {role: finished[key] for role, key in node.parents.items()}
    return execute(node, parents, out, resources(planned), Progress(lambda event: None))


def recorded(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    runs = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    return json.loads((out / "measurement.json").read_text()), runs


SYSTEMS = [{"model": m} for m in ("small", "small", "small", "large", "large")]


def test_a_block_has_every_system_of_a_model_beside_each_other() -> None:
    order = list(turns(SYSTEMS, blocks=20, seed=3, together=True))
    drawn = set()
    for block in range(20):
        numbers = [turn.system for turn in order if turn.block == block]
        assert (sorted(numbers[:3]), sorted(numbers[3:])) == ([0, 1, 2], [3, 4])
        assert [t.position for t in order if t.block == block] == list(range(5))
        drawn.add(tuple(numbers[:3]))
    assert len(drawn) > 3, "no system always comes first"
    assert order == list(turns(SYSTEMS, blocks=20, seed=3, together=True))


def test_systems_that_are_not_together_run_there_and_back() -> None:
    order = list(turns(SYSTEMS, blocks=4, seed=3, together=False))
    for block in range(4):
        numbers = [turn.system for turn in order if turn.block == block]
        small, large = numbers[:6], numbers[6:]
        assert (small, large) == (small[::-1], large[::-1])
        assert (sorted(small[:3]), sorted(large[:2])) == ([0, 1, 2], [3, 4])


def test_a_margin_brings_a_control_and_a_sabotaged_system(planned: Plan) -> None:
    node = node_of(planned, "arms")
    systems = {s["name"]: s for s in node.spec["systems"]}
    assert {name: (s["role"], s["of"], s["slowdown"]) for name, s in systems.items()} == {
        "tiny/none": ("arm", None, 0.0),
        "tiny/mnli": ("arm", "tiny/none", 0.0),
        "tiny/none control": ("control", "tiny/none", 0.0),
        "tiny/none +5 %": ("sabotaged", "tiny/none", 0.05),
    }
    assert node.parents["model tiny/none control"] == node.parents["model tiny/none"]
    assert node.parents["model tiny/mnli"] != node.parents["model tiny/none"]
    assert {r for r in node.parents if r.startswith("predictions")} == {f"predictions {name}" for name in systems}


def test_layers_are_systems_compared_with_the_last_of_the_baseline(planned: Plan) -> None:
    systems = {s["name"]: (s["layer"], s["of"]) for s in node_of(planned, "layers").spec["systems"]}
    assert systems == {
        "tiny/none last": (2, None),
        "tiny/none fixed": (1, "tiny/none last"),
        "tiny/none calibrated": ("calibrated", "tiny/none last"),
        "tiny/mnli last": (2, "tiny/none last"),
        "tiny/mnli fixed": (1, "tiny/none last"),
        "tiny/mnli calibrated": ("calibrated", "tiny/none last"),
    }


def test_a_margin_and_a_device_are_in_the_key(planned: Plan) -> None:
    node = node_of(planned, "arms")
    settings = {**node.spec["settings"], "margin": 0.1}
    other_margin = Node(node.kind, {**node.spec, "settings": settings}, node.parents)
    other_device = Node(node.kind, {**node.spec, "device": {**node.spec["device"], "threads": 7}}, node.parents)
    assert len({node.key, other_margin.key, other_device.key}) == 3
    assert node.spec["device"]["precision"] == "fp32"
    assert {"torch", "transformers", "xstilts"} <= node.spec["device"]["versions"].keys()


def test_everything_is_recorded(planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request]) -> None:
    node = node_of(planned, "arms")
    counts = run(planned, node, finished, tmp_path / "n" / "out")
    measurement, runs = recorded(tmp_path / "n" / "out")
    assert counts == {"runs": 12, "systems": 4, "languages": 2}
    assert Counter(r["system"] for r in runs) == dict.fromkeys(measurement["systems"], 3)
    for record in runs:
        assert set(record["offline"]) == set(record["single_stream"]) == {"en", "de"}
        passes = [len(found["seconds"]) for found in record["offline"].values()]
        assert min(passes) >= 8, "a pass at least in every slice"
        for found in record["offline"].values():
            assert len(found["seconds"]) == len(found["encode_s"]) == len(found["decode_s"]) == len(found["turns"])
            assert sorted(set(found["turns"])) == list(range(8)), "systems are compared turn by turn"
            for whole, *parts in zip(found["seconds"], found["encode_s"], found["decode_s"], strict=True):
                assert 0 < sum(parts) < whole
        assert sum(len(found["latencies_s"]) for found in record["single_stream"].values()) >= 5
        assert all(len(found["latencies_s"]) == len(found["turns"]) for found in record["single_stream"].values())
        assert record["memory"]["peak_bytes"] >= record["memory"]["loaded_bytes"] > 0
        assert 0 <= record["other_cpu_share"] <= 1
        assert min(record["startup"].values()) >= 0
        assert "answers" not in record
    base = measurement["systems"]["tiny/none"]
    assert base["agreement"] == {"en": 1.0, "de": 1.0}
    assert base["loads"]["en"]["examples"] == base["loads"]["en"]["sequences"] == 4
    assert base["loads"]["en"]["tokens"] > 8
    assert "not compliant" in measurement["note"]
    assert measurement["matrix_peak_flops_per_s"] == [1e9, 1e9]
    assert {request.slowdown for request in asked} == {0.0, 0.05}


def test_each_block_asks_for_other_samples_and_all_its_systems_for_the_same(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request]
) -> None:
    run(planned, node_of(planned, "arms"), finished, tmp_path / "n" / "out")
    seeds = [request.seed for request in asked]
    assert seeds == [1] * 4 + [2] * 4 + [3] * 4


def test_another_device_than_the_planned_one_is_refused(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request]
) -> None:
    node = node_of(planned, "arms")
    elsewhere = Node(node.kind, {**node.spec, "device": {**node.spec["device"], "name": "another"}}, node.parents)
    with pytest.raises(MeasurementError, match=r"planned on another \(cpu\), but this worker runs on"):
        run(planned, elsewhere, finished, tmp_path / "n" / "out")
    assert asked == []


def test_blocks_of_another_machine_are_run_again(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, out = node_of(planned, "arms"), tmp_path / "n" / "out"
    run(planned, node, finished, out)
    assert (out.parent / "checkpoints" / "runs.jsonl").is_file()
    asked.clear()
    monkeypatch.setattr("platform.node", lambda: "another")
    run(planned, node, finished, out)
    assert len(asked) == 12


def test_runs_of_another_model_are_dropped_and_said(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(self: LocalSession) -> dict[str, Any]:
        found = super(LocalSession, self).end()
        found["model"]["parameters"] += len(asked) // 10
        return found

    monkeypatch.setattr(LocalSession, "end", end)
    out = tmp_path / "n" / "out"
    with pytest.raises(MeasurementError, match="not every run was of the same model"):
        run(planned, node_of(planned, "arms"), finished, out)
    assert not (out.parent / "checkpoints").exists(), "the next attempt starts anew"


def test_systems_take_turns_there_and_back(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[int] = []

    def slice_(self: LocalSession) -> None:
        worked.append(id(self))
        super(LocalSession, self).slice()

    monkeypatch.setattr(LocalSession, "slice", slice_)
    run(planned, node_of(planned, "arms"), finished, tmp_path / "n" / "out")
    first = worked[: 4 * 8]
    there = first[:4]
    assert len(set(there)) == 4
    assert first == [*there, *reversed(there)] * 4


@pytest.mark.parametrize(
    ("seconds", "note"),
    [
        ((3.0, 3.0), "offline and single-stream shorter than MLPerf's 600 s: not compliant"),
        ((600.0, 3.0), "single-stream shorter than MLPerf's 600 s: not compliant"),
        ((600.0, 600.0), "not a compliant submission"),
    ],
)
def test_what_is_not_mlperf_is_said(seconds: tuple[float, float], note: str) -> None:
    names = ("offline", "single_stream")
    scenarios = {name: {"min_seconds": s} for name, s in zip(names, seconds, strict=True)} | {"server": None}
    assert note in measuring._compliance(scenarios)


def test_operations_are_those_of_the_layers_that_run(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request]
) -> None:
    run(planned, node_of(planned, "layers"), finished, tmp_path / "n" / "out")
    measurement, runs = recorded(tmp_path / "n" / "out")
    assert len(runs) == 6
    flops = {name: s["loads"]["de"]["flops"] for name, s in measurement["systems"].items()}
    assert flops["tiny/none last"] == 2 * flops["tiny/none fixed"] > 0
    # 16 wide, 24 inside: q, k, v, o and the two of the feed-forward; then attention's two products.
    lengths = measurement["systems"]["tiny/none last"]["loads"]["de"]
    weights = 4 * 16 * 16 + 2 * 16 * 24
    assert flops["tiny/none fixed"] > 2 * weights * lengths["tokens"]
    assert measurement["systems"]["tiny/none fixed"]["layer"] == 1
    assert measurement["systems"]["tiny/none calibrated"]["layer"] in (0, 1, 2)
    assert {s["agreement"] for s in measurement["systems"].values()} == {None}


def test_other_answers_than_the_scored_ones_are_seen(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request]
) -> None:
    node = node_of(planned, "arms")
    roles = {role: finished[key] for role, key in node.parents.items()}
    scored = roles["predictions tiny/mnli"]
    other = tmp_path / "other"
    for language in ("en", "de"):
        lines = (scored / "outputs" / f"{language}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        turned = [{**row, "label": "1" if row["label"] == "0" else "0"} for row in rows]
        (other / "outputs").mkdir(parents=True, exist_ok=True)
        (other / "outputs" / f"{language}.jsonl").write_text("\n".join(map(json.dumps, turned)))
    out = tmp_path / "n" / "out"
    out.mkdir(parents=True)
    roles["predictions tiny/mnli"] = other
    execute(node, roles, out, resources(planned), Progress(lambda event: None))
    measurement, _ = recorded(out)
    assert measurement["systems"]["tiny/mnli"]["agreement"] == {"en": 0.0, "de": 0.0}
    assert measurement["systems"]["tiny/none"]["agreement"] == {"en": 1.0, "de": 1.0}


def test_whole_blocks_outlive_an_interruption(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, out = node_of(planned, "arms"), tmp_path / "n" / "out"
    go_on: Any = vars(measuring)["Session"]

    def stops(request: Request) -> LocalSession:
        if len(asked) == 6:  # in the middle of the second block of four
            raise KeyboardInterrupt
        opened: LocalSession = go_on(request)
        return opened

    monkeypatch.setattr(measuring, "Session", stops)
    with pytest.raises(KeyboardInterrupt):
        run(planned, node, finished, out)
    kept = (out.parent / "checkpoints" / "runs.jsonl").read_text().splitlines()
    assert len(kept) == 4
    monkeypatch.setattr(measuring, "Session", go_on)
    asked.clear()
    run(planned, node, finished, out)
    assert len(asked) == 8
    _, runs = recorded(out)
    assert [(r["block"], r["position"]) for r in runs] == [(b, p) for b in range(3) for p in range(4)]
    assert runs[3]["offline"] == json.loads(kept[3])["offline"]


def test_a_failing_process_says_why(tmp_path: Path) -> None:
    request = Request(str(tmp_path), "xnli", str(tmp_path / "load.json"), {}, "fp32", "cpu", 1, SHORT)
    with pytest.raises(MeasurementError, match=r"ended with status 1: no xstilts\.json"):
        Session(request)


def test_the_matrix_peak_is_measured_in_a_process_of_its_own() -> None:
    assert 1e8 < matrix_peak("cpu", 1, "fp32") < 1e13


def test_what_is_left_by_many_machines_says_where_it_is_measured(planned: Plan) -> None:
    measured = [of.key for of in planned.measured]
    other = next(node.key for node in planned.graph if node.key not in measured)
    for left, word in (
        ((other,), "again\n"),
        ((other, *measured), f"again; {len(measured)} of them measure: without --on"),
    ):
        with (said := Console(width=200)).capture() as words:
            show_run(journey.run_summary(planned, Summary(0, left=left)), "store", said)
        assert f"{len(left)} nodes are left: run the same command {word}" in words.get()


def test_the_command_line_measures_what_a_study_asks(tmp_path: Path) -> None:
    once_only = {**ARMS, "blocks": 1, "margin": None, "arms": ["none"], "warmup_seconds": 0.001}
    study = write_study(tmp_path, measured_study(arms={"none": {}}, measurements={"cost": once_only}))
    command(*run_command(study, tmp_path / "store", "--json", tmp_path / "run.json"))
    assert json.loads((tmp_path / "run.json").read_text())["failed"] == []
    store = Store(tmp_path / "store")
    (of,) = store.studies()["tiny"]["measurements"]
    measurement, runs = recorded(store.path(of["key"]))
    assert [r["system"] for r in runs] == ["tiny/none"]
    assert runs[0]["startup"]["import_s"] > 0.05, "libraries are loaded anew in every process"
    assert all(peak > 1e8 for peak in measurement["matrix_peak_flops_per_s"])
    command(*run_command(study, tmp_path / "store", "--json", tmp_path / "again.json"))
    assert json.loads((tmp_path / "again.json").read_text())["ran"] == 0
