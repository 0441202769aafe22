"""The whole way through the real command line: nine targets, three arms, killed and damaged and taken up again."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tiny_world import (
    CLI,
    command,
    environment,
    full_run,
    nine_targets,
    run_command,
    tiny_data,
    tiny_study,
    write_study,
)
from xstilts.graph.store import Store
from xstilts.journey import tables
from xstilts.report.results import FIELDS
from xstilts.submission import score_submission
from xstilts.tasks import load

ARMS = ("none", "squad_v2", "mnli")
Rows = list[dict[str, Any]]


def results(store: Path) -> Rows:
    found: Rows = json.loads(command("results", "--store", store, "--json", "-"))
    return found


def test_every_place_of_the_table_is_filled() -> None:
    _, rows = full_run()
    scored = {(r["arm"], r["target"], r["split"], r["language"]) for r in rows if r["value"] is not None}
    for arm in ARMS:
        for target in nine_targets():
            task = load(target)
            for split in {"dev", "test"} & set(task.files):
                assert {k[3] for k in scored if k[:3] == (arm, target, split)} == set(task.languages)
    assert {r["status"] for r in rows} <= {"ok", "chance", "collapsed"}


def test_rows_have_exactly_the_documented_fields() -> None:
    _, rows = full_run()
    text = (Path(__file__).parents[1] / "docs" / "tables.md").read_text(encoding="utf-8")
    table = text[text.index("| field |") : text.index("**status**")]
    fields = "".join(line.split("|")[1] for line in table.splitlines()[2:] if "|" in line)
    documented = re.findall(r"`(\w+)`", fields)
    assert sorted(documented) == sorted(FIELDS)
    assert {tuple(r) for r in rows} == {FIELDS}
    assert {r["unit"] for r in rows} == {"points"}
    assert {r["source"] for r in rows} == {"en"}
    assert {r["seed"] for r in rows} == {1}


def test_selections_are_named() -> None:
    _, rows = full_run()
    found = {(r["target"], r["split"], r["selection"]) for r in rows if r["target"] in ("xnli", "bucc2018", "tatoeba")}
    assert {s for t, _, s in found if t == "xnli"} == {"last"}
    assert {s for t, _, s in found if t == "tatoeba"} == {"rule", "fixed_layer", "best_on_test", "curve"}
    bucc_dev = {s for t, p, s in found if (t, p) == ("bucc2018", "dev")}
    assert bucc_dev == {"threshold_from_same_dev", "fixed_layer", "best_on_dev", "curve"}
    assert {s for t, p, s in found if (t, p) == ("bucc2018", "test")} >= {"rule", "curve"}
    mined = {
        (r["layer"], r["pooling"]) for r in rows if (r["arm"], r["target"], r["split"]) == ("none", "bucc2018", "test")
    }
    assert len(mined) == 1, "the test pools are mined at the chosen layer only"


def test_a_second_run_runs_nothing(tmp_path: Path) -> None:
    store, rows = full_run()
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    said = command(*run_command(store.parent / "full.yaml", copy, "--json", tmp_path / "run.json"))
    ran = json.loads((tmp_path / "run.json").read_text())
    assert (ran["ran"], ran["failed"], ran["blocked"], ran["left"]) == (0, [], 0, 0)
    assert ran["cells"] == 3 * 15
    assert said == ""
    assert results(copy) == rows


def submission_of(store: Path, arm: str, folder: Path) -> Path:
    """The submission files of one arm, laid out as XTREME wants them."""
    payload = Store(store).studies()["full"]
    for cell in payload["cells"]:
        if (cell["arm"], cell["split"]) == (arm, "test"):
            shutil.copytree(Store(store).path(cell["key"]) / "submission", folder / cell["target"])
    return folder


@pytest.mark.parametrize("arm", ARMS)
def test_the_written_submission_scores_as_the_table_says(arm: str, tmp_path: Path) -> None:
    store, rows = full_run()
    official = score_submission(submission_of(store, arm, tmp_path / "mine"), tiny_data() / "labels")
    for row in rows:
        if (row["arm"], row["split"]) != (arm, "test") or row["selection"] not in ("last", "dev", "rule"):
            continue
        assert official.tasks[row["target"]].metrics[row["metric"]].languages[row["language"]] == row["value"]
    (table,) = [t for t in tables(Store(store), "full") if t.title == "tiny, test"]
    entries = dict(zip(table.columns, dict(table.rows)[arm], strict=True))
    for name, scores in official.tasks.items():
        assert entries[name].value == pytest.approx(scores.score, abs=1e-11)
    assert entries["avg"].value == pytest.approx(official.overall, abs=1e-11)
    trained = [official.tasks[t].score or 0.0 for t in nine_targets()[:7]]
    assert entries["no retr."].value == pytest.approx(statistics.fmean(trained), abs=1e-11)


def test_the_submission_scores_alike_on_the_command_line(tmp_path: Path) -> None:
    store, _ = full_run()
    mine = submission_of(store, "mnli", tmp_path / "mine")
    said = json.loads(command("score", "--predictions", mine, "--gold", tiny_data() / "labels", "--json", "-"))
    assert said == json.loads(json.dumps(score_submission(mine, tiny_data() / "labels").as_json()))


def small_study(folder: Path, **changes: Any) -> Path:
    fields: dict[str, Any] = {"targets": ["pawsx", "tatoeba"], "splits": ["test"], "languages": "all"}
    return write_study(folder, tiny_study(**{**fields, **changes}))


def finished(store: Path) -> int:
    return len(list(store.glob("nodes/??/*")))


def test_killed_at_random_points_and_taken_up_again_gives_equal_results(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    command(*run_command(study, tmp_path / "calm"))
    calm = results(tmp_path / "calm")
    chance, hurt = random.Random(time.time_ns()), tmp_path / "hurt"
    arguments = [*CLI, *map(str, run_command(study, hurt))]
    total, kills = finished(tmp_path / "calm"), 0
    for part in (1, 2, 3):
        driver = subprocess.Popen(
            arguments, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = finished(hurt)
        while driver.poll() is None and finished(hurt) < min(total - 1, before + part):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.2))
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            kills += 1
        driver.wait()
    assert kills, "every run ended before it was killed"
    command(*run_command(study, hurt))
    assert results(hurt) == calm
    assert finished(hurt) == total


def test_a_flipped_byte_in_a_finished_model_is_found_and_the_model_made_again(tmp_path: Path) -> None:
    study = small_study(tmp_path, arms={"none": {}}, languages="all")
    store = tmp_path / "store"
    command(*run_command(study, store))
    payload, calm = Store(store).studies()["tiny"], results(store)
    (trained,) = [n["key"] for n in payload["nodes"] if n["kind"] == "train"]
    for node in payload["nodes"]:
        if node["kind"] in ("predict", "score") and node["spec"]["task"] == "pawsx":
            Store(store).remove([node["key"]])
    weights = Store(store).path(trained) / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    command(*run_command(study, store))
    assert (store / "damaged" / f"{trained}.1" / "model" / "model.safetensors").read_bytes() == content
    assert results(store) == calm


def test_one_failing_target_leaves_the_others_done(tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_data(), tmp_path / "data"))
    bad = data / "pawsx" / "test-ko.tsv"
    bad.write_text(bad.read_text().replace("\t", " ", 1))
    study, store = small_study(tmp_path, arms={"none": {}}), tmp_path / "store"
    command(*run_command(study, store, data=data), expect=1)
    (report,) = json.loads(command("status", "--store", store, "--json", "-"))
    (failed,) = report["failed"]
    assert f"{bad}:1" in failed["text"]
    assert "missing column" in failed["text"]
    rows = results(store)
    assert {r["status"] for r in rows if r["target"] == "pawsx"} == {"blocked"}
    assert all(r["value"] is not None for r in rows if r["target"] == "tatoeba")
    why = json.loads(command("why", failed["key"][:12], "--store", store, "--json", "-"))
    assert why["ancestry"][0]["status"] == "failed"
    assert [n["kind"] for n in why["ancestry"]] == ["predict", "train"]
