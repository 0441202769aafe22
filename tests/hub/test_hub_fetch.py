"""A study is fetched from a hub once, and then runs without a network as it does from a plain folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_world import XTREME, Machine, dataset, files_under, put_model, write_by_hand, xnli_rows
from server import Hub

from tiny_world import fake_model, tiny_model, tiny_study, write_study
from xstilts.graph.store import Store
from xstilts.journey import rows

MODEL = {"tiny": {"id": "tests/tiny"}}


def study(folder: Path, **changes: Any) -> Path:
    raw = {
        "name": "hub",
        "models": MODEL,
        "arms": {"mnli": {"intermediate": "mnli"}},
        "targets": ["xnli", "udpos", "tatoeba"],
        "retrieval": {"poolings": ["mean"]},
        "languages": ["de", "en"],
        "splits": ["test"],
        **changes,
    }
    return write_study(folder, tiny_study(**raw))


def one_split(folder: Path, **changes: Any) -> Path:
    """A study that needs the least: German XNLI."""
    raw = {"arms": {"none": {}}, "targets": ["xnli"], "languages": ["de"], "data": {"drop_overlap": False}}
    return study(folder, models={"m": {"path": str(fake_model(folder / "model"))}}, **raw, **changes)


def run(machine: Machine, file: Path, data: Path, store: Path) -> tuple[dict[str, str], list[Any], str]:
    """Titles by key, numbers, and what a run without a network prints."""
    out, _ = machine.run("run", file, "--data", data, "--store", store, "--threads", 1, offline=True)
    (payload,) = Store(store).studies().values()
    numbers = [
        (r["target"], r["language"], r["metric"], r["selection"], r["layer"], r["value"]) for r in rows(Store(store))
    ]
    return {n["key"]: n["kind"] for n in payload["nodes"]}, numbers, " ".join(out.split())


def test_fetched_rows_give_the_keys_and_scores_of_a_plain_folder(tmp_path: Path, machine: Machine, hub: Hub) -> None:
    sha = put_model(hub, "tests/tiny", tiny_model())
    file = study(tmp_path)
    fetched = machine.fetch(file)
    plain = write_by_hand(tmp_path / "plain")
    got = files_under(machine.data)
    assert {f["path"] for f in fetched["files"]} == got
    for name in got:
        assert (machine.data / name).read_text("utf-8") == (plain / name).read_text("utf-8"), name
    assert fetched["passed_over"][0]["task"] == "bucc2018", "the layer rule falls back, and that is said"

    asked = len(hub.requests)
    again = machine.fetch(file)
    assert (again["files"], again["models"], hub.requests[asked:]) == ([], [], [])

    keys, numbers, table = run(machine, file, machine.data, tmp_path / "store")
    by_hand = study(tmp_path, name="plain", models={"tiny": {"path": str(tiny_model())}})
    assert (keys, numbers) == run(machine, by_hand, plain, tmp_path / "other store")[:2]
    assert numbers
    assert len(hub.requests) == asked, "no run asks the hub"
    assert "udpos come from the hub" in table
    assert "syntactic words" in table
    assert "aligned as in LASER's files" in table
    assert "one mixed table" in table
    assert f"revision: {sha}" in table


def test_a_branch_that_moves_on_changes_nothing_until_it_is_asked_to(machine: Machine, hub: Hub) -> None:
    file = one_split(machine.home)
    machine.fetch(file)
    before = machine.ledger()
    moved = [{**row, "sentence1": "moved"} for row in xnli_rows("test")]
    newest = hub.commit("datasets", XTREME, dataset({"XNLI": {"test": moved, "validation": moved}}))
    assert before["datasets"][f"{XTREME}@main"] != newest

    (machine.data / "xnli/test-de.tsv").unlink()
    again = machine.fetch(file)
    assert [f["path"] for f in again["files"]] == ["xnli/test-de.tsv"]
    assert machine.ledger() == before

    updated = machine.fetch(file, "--update")
    assert {f["path"] for f in updated["files"]} == {
        "multinli_1.0/multinli_1.0_train.jsonl",
        "xnli/test-de.tsv",
    }
    assert machine.ledger()["files"]["xnli/test-de.tsv"]["revision"] == newest
    assert "moved" in (machine.data / "xnli/test-de.tsv").read_text()


def test_what_is_there_already_is_left_alone(machine: Machine, hub: Hub) -> None:
    own = machine.data / "xnli/test-de.tsv"
    own.parent.mkdir(parents=True)
    own.write_text("mine\tmine too\tneutral\nmine\tmine three\tentailment\n")
    (machine.data / "stand-in.tsv").write_text("a\tb\tneutral\nc\td\tentailment\n")
    file = one_split(machine.home, name="own")
    raw = file.read_text().replace("drop_overlap: false", "drop_overlap: false\n  files: {xnli.train: stand-in.tsv}")
    file.write_text(raw)
    fetched = machine.fetch(file)
    assert (fetched["files"], fetched["there"], hub.requests) == ([], 1, [])
    assert own.read_text().startswith("mine")


def test_what_the_hub_cannot_give_is_refused_with_the_reason_and_the_place(machine: Machine) -> None:
    file = study(
        machine.home,
        models={"m": {"path": str(fake_model(machine.home / "model"))}},
        arms={"ccg": {"intermediate": "ccg"}},
        targets=["tatoeba", "bucc2018"],
        languages=["de"],
    )
    fetched = machine.fetch(file, expect=1)
    refused = {(r["task"], r["split"]): (r["reason"], r["get"]) for r in fetched["refused"]}
    assert {task for task, _ in refused} == {"ccg", "bucc2018"}
    reason, place = refused["bucc2018", "test"]
    assert "not the pools" in reason
    assert "comparable.limsi.fr" in place
    assert "LDC2005T13" in refused["ccg", "train"][0]
    assert files_under(machine.data) == {"tatoeba/tatoeba.deu-eng.deu", "tatoeba/tatoeba.deu-eng.eng"}
