"""One model measured without a study: the verb ``bench`` and what it prints."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from measured_study import sessions_here

import xstilts
from tiny_world import CLI, command, environment, tiny_data, tiny_model
from xstilts import tasks
from xstilts.bench.one_model import measure_model
from xstilts.bench.request import Request
from xstilts.measurements import Measurement
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.report.impact.measured import as_recorded, read_folder
from xstilts.report.impact.one_model import model_grid
from xstilts.task_types import Head

SHORT = {"offline": {"min_seconds": 0.001}, "single_stream": {"min_seconds": 0.001, "min_queries": 5}}


def test_one_model_is_measured_without_a_study(tmp_path: Path) -> None:
    trained, labels = tmp_path / "model", ("0", "1")
    export(Model.start(tiny_model(), Head("pooled", 2, labels)), trained, "pawsx", "classification", labels)
    said = command(
        *("bench", trained, "--target", "pawsx", "--data", tiny_data(), "--languages", "de,en", "--rows", 5),
        *("--runs", 1, "--seconds", 0.1, "--threads", 1),
    )
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert {"de", "en", "all"} <= lines.keys()
    assert "1 run, each a fresh process" in said
    assert "not compliant" in said


def test_an_encoder_is_measured_at_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    monkeypatch.setattr("xstilts.bench.measure.Session", sessions_here(asked))
    monkeypatch.setattr("xstilts.bench.measure.matrix_peak", lambda *_: 1e9)
    fields = {"targets": ["tatoeba"], "rows": 3, "blocks": 1, "scenarios": SHORT, "warmup_seconds": 0.001}
    out = tmp_path / "n" / "out"
    out.mkdir(parents=True)
    node = measure_model(
        tiny_model(),
        tasks.load("tatoeba"),
        tiny_data(),
        Measurement.model_validate(fields),
        out,
        languages=["de"],
        layer=1,
        encoding=tasks.load("tatoeba").encoding,
        precision="fp32",
        device="cpu",
        threads=1,
        progress=lambda *_, **__: None,
    )
    assert [(r.layer, r.answers) for r in asked] == [(1, None)]
    grid = model_grid(read_folder(out, node))
    assert [row[0] for row in grid.rows] == ["de", "all"]
    assert len(as_recorded(out)["runs"]) == 1


def test_a_model_measures_itself_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    monkeypatch.setattr("xstilts.bench.measure.Session", sessions_here(asked))
    monkeypatch.setattr("xstilts.bench.measure.matrix_peak", lambda *_: 1e9)
    trained, labels = tmp_path / "model", ("0", "1")
    export(Model.start(tiny_model(), Head("pooled", 2, labels)), trained, "pawsx", "classification", labels)
    model = xstilts.load(trained, precision="fp32")
    found = model.bench("pawsx", data=tiny_data(), languages=["de"], rows=3, runs=1, seconds=0.001, threads=1)
    rows = {row["language"]: row for row in found.rows}
    assert rows.keys() == {"de", "all"}
    assert rows["de"]["sequences_per_second"] > 0 and rows["de"]["p50_seconds"] > 0
    assert [row[0] for row in found.tables[0].rows] == ["de", "all"]
    says = trained / "xstilts.json"
    says.write_text(json.dumps({**json.loads(says.read_text()), "encoding": {"max_length": 24}}))
    for loaded in (xstilts.load(trained), xstilts.load(trained, max_length=16)):
        loaded.bench("pawsx", data=tiny_data(), languages=["de"], rows=3, runs=1, seconds=0.001, threads=1)
    assert [request.encoding["max_length"] for request in asked] == [78, 24, 16], "as it predicts, which numbers 78"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "pawsx", "--languages", "de,sw"), "pawsx has no test rows in sw\n  there are some in: "),
        (("--target", "pawx"), "unknown task 'pawx'\n  did you mean 'pawsx'"),
        (("--target", "pawsx", "--layer", "1"), "--layer: pawsx is answered by a head, not by a layer"),
        (("--target", "pawsx"), "no xstilts.json"),
    ],
)
def test_a_model_that_cannot_be_measured_is_said_at_once(arguments: tuple[str, ...], message: str) -> None:
    whole = [*CLI, "bench", str(tiny_model()), "--data", str(tiny_data()), *arguments]
    ended = subprocess.run(whole, capture_output=True, text=True, env=environment(), timeout=140, check=False)
    assert ended.returncode == 2
    assert message in ended.stderr
