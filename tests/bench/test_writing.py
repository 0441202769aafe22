"""Answers of forced lengths: exactly so long, whatever the model says; and what each further sub-word costs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tiny_text_models import text_folder
from tiny_world import CLI, command, environment, tiny_data, tiny_model
from xstilts.bench.writing import Writing, measure_writing
from xstilts.errors import MeasurementError, ModelError
from xstilts.report.impact.writing import writing_grid
from xstilts.tasks import load


def test_the_verb_measures_every_length_and_says_what_the_model_is(tmp_path: Path) -> None:
    said = command(
        *("bench", text_folder(layers=2), "--target", "xnli", "--data", tiny_data(), "--written", "1,8,3"),
        *("--rows", 3, "--runs", 1, "--seconds", 0.1, "--threads", 1, "--json", tmp_path / "record.json"),
    )
    record = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    (run,) = record["runs"]
    assert [of["written"] for of in run["lengths"]] == [1, 3, 8]
    assert all(len(of["offline_s"]) >= 2 and len(of["latencies_s"]) >= 6 for of in run["lengths"])
    assert record["about"]["rows"] == 3 and run["read"] > 3
    assert not said.strip()
    grid = writing_grid(record)
    assert [row[0] for row in grid.rows] == ["1", "3", "8"]


def test_a_further_sub_word_costs_its_share_of_what_a_longer_answer_takes_more() -> None:
    lengths = [
        {"written": 1, "offline_s": [2.0], "latencies_s": [0.1, 0.1, 0.4]},
        {"written": 9, "offline_s": [4.0], "latencies_s": [0.5, 0.5, 0.6]},
    ]
    run = {"lengths": lengths, "read": 60, "parameters": 1000, "peak_bytes": 2**30, "device_peak_bytes": None}
    device = {"name": "a CPU", "threads": 1, "precision": "fp32"}
    about = {"model": "m", "task": "xnli", "split": "test", "language": "en", "rows": 4, "random_weights": "seed 1"}
    grid = writing_grid({"about": {**about, "device": device}, "runs": [run]})
    assert [row[:4] for row in grid.rows] == [("1", "2.00", "2.00", "100"), ("9", "1.00", "9.00", "500")]
    assert [row[-1] for row in grid.rows] == ["–", "50.0"]
    assert "random (seed 1): it has learned nothing" in " ".join(grid.notes)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ModelError, match="is an encoder: it writes no text"):
        measure_writing(tiny_model(), load("xnli"), tiny_data(), Writing())
    with pytest.raises(MeasurementError, match="tatoeba is never said in text"):
        measure_writing(text_folder(layers=2), load("tatoeba"), tiny_data(), Writing())
    with pytest.raises(MeasurementError, match="xnli has no test rows in xx"):
        measure_writing(text_folder(layers=2), load("xnli"), tiny_data(), Writing(language="xx"))
    whole = [
        *CLI,
        "bench",
        str(text_folder(layers=2)),
        "--target",
        "xnli",
        "--data",
        str(tiny_data()),
        "--written",
        "0,8",
    ]
    ended = subprocess.run(whole, capture_output=True, text=True, env=environment(), timeout=140, check=False)
    assert ended.returncode == 2
    assert "--written 0,8" in ended.stderr
