"""Nodes and verbs whose model is streamed: outputs as in memory, one pass over the weights, a kill in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from tiny_world import tiny_data, tiny_model, tiny_study
from xstilts import execute as nodes
from xstilts.cli import main
from xstilts.errors import ModelError
from xstilts.execute import execute
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Resources
from xstilts.graph.worker import Progress
from xstilts.inference import predict as predicting
from xstilts.inference import stream as streaming
from xstilts.inference import sweep
from xstilts.model_source import find_model
from xstilts.models import streamed_model
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.models.streamed_model import in_memory_bytes, is_streamed
from xstilts.models.weight_files import WeightFiles
from xstilts.plan import Plan, make_plan
from xstilts.scoring import read_rows
from xstilts.study import parse_study
from xstilts.task_types import Head
from xstilts.tasks.folder import DataFolder

QUIET = Progress(lambda event: None)


@pytest.fixture(scope="module")
def plan() -> Plan:
    study = parse_study(tiny_study(arms={"none": {}}, targets=["xnli", "tatoeba"], splits=["test"]))
    models = [find_model(name, choice, digest_file) for name, choice in study.models.items()]
    return make_plan(study, DataFolder(tiny_data()), models, precision="fp32", digest=digest_file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of XNLI (its head is random)."""
    labels = ("contradiction", "entailment", "neutral")
    folder = tmp_path_factory.mktemp("trained")
    export(Model.start(tiny_model(), Head("pooled", 3, labels), 3), folder / "model", "xnli", "classification", labels)
    return folder


@pytest.fixture
def run(plan: Plan, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the plan's node of a kind in its own claim; gives its counts."""

    def call(kind: str, stream: Any, claim: str, progress: Any = QUIET) -> dict[str, Any]:
        monkeypatch.setattr(nodes, "_loaded", {})
        node = next(n for n in plan.graph if n.kind == kind and n.labels["task"] in ("xnli", "tatoeba"))
        out = tmp_path / claim / "out"
        out.mkdir(parents=True, exist_ok=True)
        resources = Resources(
            plan.files, plan.models, threads=1, stream=stream, checkpoint_seconds=0, micro_batch_tokens=300
        )
        return execute(node, {"model": trained}, out, resources, progress)

    return call


def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[WeightFiles]:
    """Every ``WeightFiles`` that is opened from now on."""
    made: list[WeightFiles] = []
    begin = WeightFiles.__init__

    def opened(self: WeightFiles, folder: Path) -> None:
        begin(self, folder)
        made.append(self)

    monkeypatch.setattr(WeightFiles, "__init__", opened)
    return made


def layers_of(folder: Path) -> int:
    """Bytes of all layers in the file."""
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = [n for n in weights.keys() if ".layer." in n]  # noqa: SIM118
        return sum(weights.get_tensor(n).numel() * 4 for n in names)


def test_predictions_are_those_of_the_model_in_memory_in_one_pass_over_all_languages(
    run: Callable[..., dict[str, Any]], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, opened = run("predict", "never", "plain"), read_bytes(monkeypatch)
    assert run("predict", "always", "streamed") == plain | {"streamed": True} and plain["languages"] == 15
    languages = sorted(path.name for path in (tmp_path / "plain" / "out" / "outputs").iterdir())
    for name in languages:
        expected, found = (list(read_rows(tmp_path / of / "out" / "outputs" / name)) for of in ("plain", "streamed"))
        assert [row["label"] for row in found] == [row["label"] for row in expected]
        np.testing.assert_allclose([r["scores"] for r in found], [r["scores"] for r in expected], atol=1e-5)
    assert (
        len(languages) == 15
        and (tmp_path / "streamed/out/counts.json").read_bytes() == (tmp_path / "plain/out/counts.json").read_bytes()
    )
    (files,) = opened
    assert layers_of(trained / "model") < files.bytes_read < (trained / "model" / "model.safetensors").stat().st_size


def test_retrieval_reads_the_weights_once_for_each_group_of_languages(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halves(sizes: dict[str, int], _: int) -> list[list[str]]:
        names = list(sizes)
        return [names[: len(names) // 2], names[len(names) // 2 :]]

    plain, opened = run("retrieve", "never", "plain"), read_bytes(monkeypatch)
    monkeypatch.setattr(sweep, "_groups", halves)
    assert run("retrieve", "always", "streamed") == plain | {"streamed": True} and plain["languages"] > 1
    for path in (tmp_path / "plain" / "out" / "outputs").iterdir():
        expected, found = read_rows(path), read_rows(tmp_path / "streamed" / "out" / "outputs" / path.name)
        for ours, theirs in zip(found, expected, strict=True):
            assert [ours[n] for n in ("layer", "pooling", "neighbours")] == [
                theirs[n] for n in ("layer", "pooling", "neighbours")
            ]
            np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-5)
    (files,) = opened
    assert 2 * layers_of(tiny_model()) < files.bytes_read < 2 * (tiny_model() / "model.safetensors").stat().st_size
    assert sorted(p.name for p in (tmp_path / "streamed" / "out").iterdir()) == ["counts.json", "outputs"]


@pytest.mark.parametrize(
    ("room", "groups"), [(10, [["a", "b"], ["c"]]), (3, [["a"], ["b"], ["c"]]), (100, [["a", "b", "c"]])]
)
def test_neighbours_share_a_pass_while_there_is_room(room: int, groups: list[list[str]]) -> None:
    assert list(sweep._groups({"a": 4, "b": 6, "c": 1}, room)) == groups


class _KilledError(Exception):
    pass


def test_a_killed_node_goes_on_behind_its_last_finished_layer(
    run: Callable[..., dict[str, Any]], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(done: float, *_: Any, **__: Any) -> None:
        if done > 1:
            raise _KilledError

    whole = run("predict", "always", "whole")
    with pytest.raises(_KilledError):
        run("predict", "always", "killed", killed)
    opened = read_bytes(monkeypatch)
    assert run("predict", "always", "killed") == whole
    (files,) = opened
    assert files.bytes_read == layers_of(trained / "model") // Model.load(trained / "model").num_layers
    for path in (tmp_path / "whole" / "out" / "outputs").iterdir():
        assert path.read_bytes() == (tmp_path / "killed" / "out" / "outputs" / path.name).read_bytes()


def test_auto_streams_what_does_not_fit(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained / "model"
    needed = in_memory_bytes(folder, "fp32", "cpu")
    assert needed == in_memory_bytes(folder, "bf16", "cuda") == in_memory_bytes(folder, "bf16", "cpu") * 2 // 3
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert needed == sum(weights.get_tensor(n).numel() * 4 for n in weights.keys())  # noqa: SIM118
    for there, expected in ((2 * needed, False), (needed, True)):
        monkeypatch.setattr(streamed_model, "free_bytes", lambda _, there=there: there)
        assert is_streamed(folder, "auto", "fp32", "cpu") is expected
        assert is_streamed(folder, "always", "fp32", "cpu") and not is_streamed(folder, "never", "fp32", "cpu")


def test_own_text_says_the_same_streamed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [{"first": "a small dog " * (n % 7 + 1), "second": f"text {n}"} for n in range(1500)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pairs))
    (tmp_path / "lines.txt").write_text("".join(p["first"] + p["second"] + "\n" for p in pairs))
    opened = read_bytes(monkeypatch)
    for verb, file, end in (("predict", "pairs.jsonl", "jsonl"), ("embed", "lines.txt", "npy")):
        for stream in ("never", "always"):
            options = ["--stream", stream, "--precision", "fp32", "--out", str(tmp_path / f"{verb}-{stream}.{end}")]
            monkeypatch.setattr("sys.argv", ["xstilts", verb, str(trained), str(tmp_path / file), *options])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code
        assert "2 of 2 layers" in capsys.readouterr().err
    first, second = (list(read_rows(tmp_path / f"predict-{stream}.jsonl")) for stream in ("never", "always"))
    for ours, theirs in zip(first, second, strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=2e-5)
    np.testing.assert_allclose(np.load(tmp_path / "embed-never.npy"), np.load(tmp_path / "embed-always.npy"), atol=1e-5)
    assert [f.bytes_read < (trained / "model/model.safetensors").stat().st_size for f in opened] == [True, True]


def test_a_streamed_logit_that_is_no_number_is_refused(
    run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = streaming.stream_logits

    def damaged(*args: Any, **named: Any) -> Any:
        found = made(*args, **named)
        found[3][0, 0] = np.nan
        return found

    monkeypatch.setattr(predicting, "stream_logits", damaged)
    with pytest.raises(ModelError, match="not finite numbers"):
        run("predict", "always", "damaged")


def test_the_choice_is_in_no_key(plan: Plan) -> None:
    assert not any("stream" in json.dumps(node.as_json()) for node in plan.graph)
    assert replace(Resources(), stream="never").stream == "never"
