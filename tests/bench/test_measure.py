"""The measurement node: what is run in which order, what is recorded, and what an interruption leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tiny_world import command, run_command, tiny_data, tiny_study, write_study
from xstilts import journey
from xstilts.bench import measure as measuring
from xstilts.bench import once
from xstilts.bench.measure import turns
from xstilts.bench.request import Request, matrix_peak, run_once
from xstilts.errors import MeasurementError, XstiltsError
from xstilts.execute import execute
from xstilts.graph.node import Node, Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.plan import Plan

SHORT = {"offline": {"min_seconds": 0.001, "min_passes": 2}, "single_stream": {"min_seconds": 0.001, "min_queries": 5}}
ARMS = {"targets": ["pawsx"], "languages": ["en", "de"], "rows": 4, "blocks": 3, "margin": 0.5, "scenarios": SHORT}
LAYERS = {
    "targets": ["tatoeba"],
    "languages": ["de"],
    "rows": 3,
    "blocks": 1,
    "layers": ["last", "fixed", "calibrated"],
    "warmup_seconds": 0.001,
    "scenarios": SHORT,
}


def measured_study(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"targets": ["pawsx", "tatoeba"], "splits": ["test"]}
    fields["measurements"] = {"arms": {**ARMS, "warmup_seconds": 0.001}, "layers": LAYERS}
    return tiny_study(**{**fields, **changes})


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


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Runs without a process of their own: what is recorded is the same, what is warm is not."""
    asked: list[Request] = []

    def run(request: Request) -> dict[str, Any]:
        asked.append(request)
        return once.answer({"kind": "run", **asdict(request)})

    monkeypatch.setattr(measuring, "run_once", run)
    monkeypatch.setattr(measuring, "matrix_peak", lambda *_: 1e9)
    return asked


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    import torch

    threads = torch.get_num_threads()
    yield in_this_process(monkeypatch)
    torch.set_num_threads(threads)


def run(planned: Plan, node: Node, finished: dict[str, Path], out: Path) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    parents = {role: finished[key] for role, key in node.parents.items()}
    return execute(node, parents, out, resources(planned), Progress(lambda event: None))


def recorded(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    runs = [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]
    return json.loads((out / "measurement.json").read_text()), runs


def test_a_block_runs_every_system_there_and_back_model_by_model() -> None:
    systems = [{"model": m} for m in ("small", "small", "small", "large", "large")]
    order = list(turns(systems, blocks=20, seed=3))
    assert len(order) == 20 * 2 * 5
    drawn = set()
    for block in range(20):
        numbers = [turn.system for turn in order if turn.block == block]
        small, large = numbers[:6], numbers[6:]
        assert small == small[::-1]
        assert large == large[::-1]
        assert sorted(small[:3]) == [0, 1, 2]
        assert sorted(large[:2]) == [3, 4]
        assert [t.position for t in order if t.block == block] == list(range(10))
        drawn.add(tuple(small[:3]))
    assert len(drawn) > 3, "no system always comes first"
    assert order == list(turns(systems, blocks=20, seed=3))


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
    assert counts == {"runs": 24, "systems": 4, "languages": 2}
    assert Counter(r["system"] for r in runs) == dict.fromkeys(measurement["systems"], 6)
    for record in runs:
        assert set(record["offline"]) == set(record["single_stream"]) == {"en", "de"}
        passes = [len(found["seconds"]) for found in record["offline"].values()]
        assert min(passes) >= 2
        for found in record["offline"].values():
            assert len(found["seconds"]) == len(found["encode_s"]) == len(found["decode_s"])
            for whole, *parts in zip(found["seconds"], found["encode_s"], found["decode_s"], strict=True):
                assert 0 < sum(parts) < whole
        assert sum(len(found["latencies_s"]) for found in record["single_stream"].values()) >= 5
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


def test_operations_are_those_of_the_layers_that_run(
    planned: Plan, finished: dict[str, Path], tmp_path: Path, asked: list[Request]
) -> None:
    run(planned, node_of(planned, "layers"), finished, tmp_path / "n" / "out")
    measurement, runs = recorded(tmp_path / "n" / "out")
    assert len(runs) == 12
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
    go_on: Any = vars(measuring)["run_once"]

    def stops(request: Request) -> dict[str, Any]:
        if len(asked) == 11:  # in the middle of the second block of eight
            raise KeyboardInterrupt
        found: dict[str, Any] = go_on(request)
        return found

    monkeypatch.setattr(measuring, "run_once", stops)
    with pytest.raises(KeyboardInterrupt):
        run(planned, node, finished, out)
    kept = (out.parent / "checkpoints" / "runs.jsonl").read_text().splitlines()
    assert len(kept) == 8
    monkeypatch.setattr(measuring, "run_once", go_on)
    asked.clear()
    run(planned, node, finished, out)
    assert len(asked) == 16
    _, runs = recorded(out)
    assert [(r["block"], r["position"]) for r in runs] == [(b, p) for b in range(3) for p in range(8)]
    assert runs[3]["offline"] == json.loads(kept[3])["offline"]


def test_a_failing_process_says_why(tmp_path: Path) -> None:
    request = Request(str(tmp_path), "xnli", str(tmp_path / "load.json"), {}, "fp32", "cpu", 1, SHORT)
    with pytest.raises(MeasurementError, match=r"ended with status 1: no xstilts\.json"):
        run_once(request)


def test_the_matrix_peak_is_measured_in_a_process_of_its_own() -> None:
    assert 1e8 < matrix_peak("cpu", 1, "fp32") < 1e13


def test_the_command_line_measures_what_a_study_asks(tmp_path: Path) -> None:
    once_only = {**ARMS, "blocks": 1, "margin": None, "arms": ["none"], "warmup_seconds": 0.001}
    study = write_study(tmp_path, measured_study(arms={"none": {}}, measurements={"cost": once_only}))
    command(*run_command(study, tmp_path / "store", "--json", tmp_path / "run.json"))
    assert json.loads((tmp_path / "run.json").read_text())["failed"] == []
    store = Store(tmp_path / "store")
    (of,) = store.studies()["tiny"]["measurements"]
    measurement, runs = recorded(store.path(of["key"]))
    assert [r["system"] for r in runs] == ["tiny/none", "tiny/none"]
    assert runs[0]["startup"]["import_s"] > 0.05, "libraries are loaded anew in every process"
    assert all(peak > 1e8 for peak in measurement["matrix_peak_flops_per_s"])
    command(*run_command(study, tmp_path / "store", "--json", tmp_path / "again.json"))
    assert json.loads((tmp_path / "again.json").read_text())["ran"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["xquad"]}, "measurements.m.targets: unknown target of this study 'xquad'"),
        ({"arms": ["nmli"]}, "measurements.m.arms: unknown arm 'nmli'\n  did you mean 'mnli'"),
        ({"arms": ["mnli"], "margin": 0.1}, "measurements.m.arms: arms are compared with the baseline arm"),
        ({"split": "dev"}, "measurements.m.split: the study does not evaluate dev"),
        ({"languages": ["sw"]}, "measurements.m.languages: the study does not evaluate pawsx test in sw"),
        ({"rows": 9}, "measurements.m.rows: 9 rows are measured, but only 6 are scored"),
        ({"blocks": 2, "margin": 0.1}, "blocks: 2 cannot show equivalence"),
        ({"layers": ["last"]}, "measurements.m.layers: layers are for retrieval targets"),
        ({"scenarios": {"ofline": None}}, "measurements.m.scenarios.ofline: unknown field"),
        ({"scenarios": {"offline": None, "single_stream": None}}, "no scenario is left"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused_at_planning(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    fields = {"targets": ["pawsx"], "rows": 4, **changes}
    study = write_study(tmp_path, measured_study(measurements={"m": fields}, limits={"evaluation_rows": 6}))
    with (
        pytest.raises(XstiltsError) as refused,
        journey.open_store(tmp_path / "store") as store,
    ):
        journey.plan_study(study, tiny_data(), store)
    assert message in str(refused.value)
