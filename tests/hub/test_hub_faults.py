"""Downloads that go wrong: tried again or taken up where they stopped, refused in clear words, never half a file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hub_world import XTREME, Machine, dataset, files_under, parquet, xnli_rows
from server import Fault, Hub
from test_hub_fetch import one_split

from tiny_world import tiny_study, write_study


def model_only(machine: Machine, identity: str = "tests/tiny", **model: str) -> Path:
    """A study whose rows are all there: only its model is fetched."""
    for name in ("train.tsv", "test.tsv"):
        machine.data.mkdir(exist_ok=True)
        (machine.data / name).write_text("a\tb\tneutral\nc\td\tentailment\n")
    raw = tiny_study(
        models={"m": {"id": identity, **model}},
        arms={"none": {}},
        targets=["xnli"],
        languages=["en"],
        splits=["test"],
        data={"files": {"xnli.train": "train.tsv", "xnli.test": "test.tsv"}},
    )
    return write_study(machine.home, raw)


@pytest.mark.parametrize("fault", ["503", "truncated", "other bytes", "closed", "slow"])
def test_what_passes_is_tried_again(machine: Machine, hub: Hub, fault: Fault) -> None:
    hub.fail("/stored/", fault)
    fetched = machine.fetch(model_only(machine))
    assert [m["revision"] for m in fetched["models"]] == [hub.repositories["models", "tests/tiny"].branches["main"]]
    weights = next((machine.home / "hf").rglob("model.safetensors")).read_bytes()
    held = hub.repositories["models", "tests/tiny"]
    assert weights == held.commits[held.branches["main"]]["model.safetensors"]


def test_a_download_that_broke_off_is_taken_up_where_it_stopped(machine: Machine, hub: Hub) -> None:
    weights = random.Random(1).randbytes(22_000_000)  # the client keeps pieces of 10 MB
    sha = hub.commit("models", "tests/large", {"config.json": b"{}", "model.safetensors": weights})
    hub.fail("/stored/", "truncated")
    fetched = machine.fetch(model_only(machine, "tests/large"))
    assert fetched["models"][0]["revision"] == sha
    assert [r for r in hub.ranges if r] == ["bytes=10485760-"], "the second request asks for the rest only"
    assert next((machine.home / "hf").rglob("model.safetensors")).read_bytes() == weights


def test_a_hub_that_stays_away_ends_in_one_clear_error(machine: Machine, hub: Hub) -> None:
    hub.fail("/stored/", "503", -1)
    error = machine.fetch(one_split(machine.home), expect=2)["stderr"]
    assert "error: google/xtreme/XNLI/test-00000-of-00001.parquet at " in error
    assert "after 3 tries: the hub answers 503" in error
    assert "what is complete is kept" in error
    assert error.count("trying again in") == 2
    assert files_under(machine.data) == set()


def test_a_model_that_breaks_off_where_a_verb_asks_for_it(machine: Machine, hub: Hub) -> None:
    hub.fail("/stored/", "closed", -1)
    _, error = machine.run("embed", "tests/tiny", "-", expect=2)
    assert "error: cannot get 'tests/tiny' from the hub: " in error
    assert "it is no folder here; check the id, the network" in error


def test_wrong_bytes_are_never_kept(machine: Machine, hub: Hub) -> None:
    hub.fail("/stored/", "other bytes", -1)
    error = machine.fetch(one_split(machine.home), expect=2)["stderr"]
    assert "do not have the digest that the hub names" in error
    assert files_under(machine.data) == set()
    assert not list((machine.home / "hf").rglob("*.parquet"))
    hub.faults.clear()
    assert machine.fetch(one_split(machine.home))["complete"]


def test_what_came_before_the_error_is_kept_and_the_rest_comes_later(machine: Machine, hub: Hub) -> None:
    hub.fail("multi_nli/resolve", "404", -1)
    file = one_split(machine.home)
    error = machine.fetch(file, expect=2)["stderr"]
    assert "error: nyu-mll/multi_nli" in error
    assert files_under(machine.data) == {"xnli/test-de.tsv"}
    assert files_under(machine.data) == set(machine.ledger()["files"])
    hub.faults.clear()
    machine.fetch(file)
    assert files_under(machine.data) == {"multinli_1.0/multinli_1.0_train.jsonl", "xnli/test-de.tsv"}


def test_nobody_answers(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "http://127.0.0.1:9", warm=True)  # which waits a moment only between its tries
    error = machine.fetch(model_only(machine), expect=2)["stderr"]
    machine.close()
    assert "error: tests/tiny at main: cannot get it from the hub after 3 tries" in error
    assert "check the network" in error


def test_the_network_is_off(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "http://127.0.0.1:9")
    error = machine.fetch(model_only(machine), expect=2, offline=True)["stderr"]
    assert "not in the cache, and the network is off" in error
    assert "HF_HUB_OFFLINE" in error


def test_a_gated_dataset_says_how_to_get_in(machine: Machine, hub: Hub) -> None:
    hub.repositories["datasets", "nyu-mll/multi_nli"].gated = True
    error = machine.fetch(one_split(machine.home), expect=2)["stderr"]
    assert "gated" in error
    assert "HF_TOKEN" in error


def test_a_token_is_shown_to_the_hub_and_written_nowhere(tmp_path: Path, hub: Hub) -> None:
    machine = Machine(tmp_path, hub.url, token="hf_of_this_test")
    fetched = machine.fetch(model_only(machine))
    assert "Bearer hf_of_this_test" in hub.tokens
    assert "hf_of_this_test" not in fetched["stderr"]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and b"hf_of_this_test" in path.read_bytes()]
    assert written == []


@pytest.mark.parametrize(("identity", "told"), [("tests/absent", "no such repository"), ("tests/tiny", "revision")])
def test_a_model_or_revision_that_is_not_there(machine: Machine, identity: str, told: str) -> None:
    file = model_only(machine, identity, revision="v9")
    error = machine.fetch(file, expect=2)["stderr"]
    assert f"error: {identity} at v9" in error
    assert told in error


def test_a_loading_script_is_refused_and_not_run(machine: Machine, hub: Hub) -> None:
    trace = machine.home / "ran"
    script = f"open({str(trace)!r}, 'w')".encode()
    hub.commit("datasets", XTREME, {"README.md": b"# A dataset\n", "xtreme.py": script})
    error = machine.fetch(one_split(machine.home), expect=2)["stderr"]
    assert "loading script" in error
    assert "never run" in error
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"PAR1 no parquet PAR1", "its parquet cannot be read"), (parquet([{"text": "x"}]), "no column 'sentence1'")],
)
def test_files_that_are_not_what_is_declared(machine: Machine, hub: Hub, content: bytes, told: str) -> None:
    files = dataset({"XNLI": {"test": xnli_rows("test")}})
    hub.commit("datasets", XTREME, {name: content if name.endswith("parquet") else f for name, f in files.items()})
    error = machine.fetch(one_split(machine.home), expect=2)["stderr"]
    assert "error: google/xtreme XNLI test" in error
    assert told in error
    assert files_under(machine.data) == set()


def test_rows_that_are_not_what_is_declared(machine: Machine, hub: Hub) -> None:
    odd = [{**row, "gold_label": k} for k, row in enumerate(xnli_rows("test"))]
    hub.commit("datasets", XTREME, dataset({"XNLI": {"test": odd, "validation": odd}}))
    error = machine.fetch(one_split(machine.home), expect=2)["stderr"]
    assert "google/xtreme XNLI test" in error
    assert "a number is never taken for a name" in error
    assert not (machine.data / "xnli").exists()
