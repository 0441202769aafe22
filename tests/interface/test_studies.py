"""A study in Python: what docs/python.md promises of it, and the same store on the command line."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from python_page import HOME, page, small

import xstilts
from tiny_world import command, fake_model, tiny_data
from xstilts.errors import DataError, MissingNameError, PredictionError, StoreError, StudyError, XstiltsError
from xstilts.graph.store import Store
from xstilts.interface.words import as_arguments
from xstilts.journey import tables
from xstilts.report.table import markdown
from xstilts.submission import score_submission


def test_the_page_plans_and_runs_a_study() -> None:
    planned, ended = page()["planned"], page()["ended"]
    assert planned.missing == len(planned.nodes) == 5
    assert {node["state"] for node in planned.nodes} == {"waiting"}
    assert ended.complete and not ended.failed
    assert "0 nodes were done before, 5 in this run" in repr(ended)
    assert page()["study"].plan().missing == 0


def test_the_page_shows_the_tables_of_the_command_line() -> None:
    found = page()["results"]
    assert {(row["target"], row["language"], row["split"]) for row in found.rows} >= {("pawsx", "de", "test")}
    assert found.rows == json.loads(command("results", "--store", HOME / "store", "--json", "-"))
    assert found.to_markdown() == "\n".join(map(markdown, tables(Store(HOME / "store"))))
    assert "pawsx" in repr(found)
    assert found._repr_html_().count("<table>") == len(found.tables) == 2


def test_the_page_writes_a_report() -> None:
    text = (HOME / page()["page"]).read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>") and "pawsx" in text


def test_a_study_of_the_store_is_opened_by_its_name() -> None:
    again = xstilts.open_study("small", data=tiny_data(), store=HOME / "store", threads=1)
    assert again.study == page()["study"].study
    assert again.plan().missing == 0


def test_a_number_leads_to_its_model() -> None:
    model = xstilts.load(page()["results"].rows[0]["key"][:12], store=HOME / "store")
    assert model.task == "pawsx"
    assert [line["step"] for line in model.history] == [1, 2]


def test_a_run_leaves_logs_and_a_broken_tracker_harms_nothing(tmp_path: Path) -> None:
    rows = page()["results"].rows
    store = Path(shutil.copytree(HOME / "store", tmp_path / "store"))
    nodes = json.loads((store / "studies" / "small.json").read_text())["nodes"]
    files = (store / "logs" / "nodes").iterdir()
    logged = {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files}
    assert logged.keys() == {node["key"] for node in nodes}
    assert all((of[0]["event"], of[-1]["event"]) == ("node_started", "node_done") for of in logged.values())
    (learned,) = [logged[node["key"]] for node in nodes if node["kind"] == "train"]
    assert [line["values"]["loss"] > 0 for line in learned if line["event"] == "node_progress"][-1:] == [True]
    Store(store).remove([node["key"] for node in nodes if node["kind"] == "score"])
    study = xstilts.open_study("small", data=tiny_data(), store=store, threads=1)

    def broken(record: object) -> None:
        raise RuntimeError("the tracker's server is gone")

    with pytest.warns(UserWarning, match="tracker broken failed and gets no more"):
        ended = study.run(progress=False, track=broken)
    assert ended.complete and ended.summary["ran"] == 2
    assert study.results().rows == rows


def test_other_seeds_and_folders_are_said_beside_the_study(tmp_path: Path) -> None:
    fake_model(tmp_path / "elsewhere")
    raw = small(models={"m": {"path": "not/here"}})
    study = xstilts.open_study(
        raw, data=tiny_data(), store=tmp_path / "s", seeds=range(4, 6), device=[], model={"m": tmp_path / "elsewhere"}
    )
    assert xstilts.open_study(raw, task_file="own.py").task_files == (Path("own.py").absolute(),)
    assert {node["title"].split()[-1] for node in study.plan().nodes if node["title"].startswith("train")} == {"4", "5"}


def test_a_score_is_the_official_one(tmp_path: Path) -> None:
    gold = tiny_data() / "labels"
    assert page()["official"] == score_submission(HOME / "submission", gold, partial=True)
    assert page()["official"].tasks["pawsx"].score == 100
    with pytest.raises(PredictionError, match="partial=True"):
        xstilts.score(tmp_path, gold)


def run(at: Path, **how: Any) -> object:
    return xstilts.open_study(small(), data=tiny_data(), store=at).run(progress=False, **how)


WRONG: list[tuple[Callable[[Path], object], type[XstiltsError], str]] = [
    (lambda at: xstilts.open_study(""), StudyError, "a mapping of its fields, or a recipe"),
    (lambda at: xstilts.open_study(at), StudyError, "this is a folder, and a study is a file"),
    (lambda at: xstilts.open_study("pockt"), MissingNameError, "'pocket'"),
    (lambda at: xstilts.open_study(at / "s.yaml"), StudyError, "no such study file"),
    (lambda at: xstilts.open_study({"name": "s", "modles": {}}), StudyError, "'models'"),
    (lambda at: xstilts.open_study(small(), seeds=[1, 1]), StudyError, "^seeds: the same seed twice"),
    (lambda at: xstilts.open_study(small(), seeds=[-1]), StudyError, "^seeds.0: .*greater than or equal to 0"),
    (lambda at: xstilts.open_study(small(), model={"m": at}), MissingNameError, "^model: unknown model 'm'"),
    (lambda at: xstilts.open_study(small(), data=at / "no").plan(), DataError, "data=DIR"),
    (
        lambda at: xstilts.open_study(small(), data=tiny_data(), store=at).run(track="tracio"),
        MissingNameError,
        "^track: ",
    ),
    (lambda at: run(at, micro_batch_tokens=0), StudyError, "^micro_batch_tokens: 0 was asked, and 1 is the least"),
    (lambda at: run(at, stream=True), MissingNameError, "^stream: .*'True'"),
    (lambda at: xstilts.open_study(small(), data=tiny_data(), store=__file__).plan(), StoreError, "store=DIR"),
    (lambda at: xstilts.results(at / "no"), StoreError, "store=DIR"),
    (lambda at: xstilts.open_study(small(), store=at).report(at / "x.pdf"), XstiltsError, "must end in .html"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_errors_speak_to_a_python_user(number: int, tmp_path: Path) -> None:
    call, kind, says = WRONG[number]
    with pytest.raises(kind, match=says) as caught:
        call(tmp_path)
    assert "--" not in str(caught.value) and "directory" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "argument"),
    [
        ("name it with --data DIR", "name it with data=DIR"),
        ("--skip-bad writes an error", "skip_bad=True writes an error"),
        ("--no-memory-check runs it", "memory_check=False runs it"),
        ("--micro-batch-tokens 512 (the same step)", "micro_batch_tokens=512 (the same step)"),
        ("`xstilts clean --store DIR --node KEY` removes it", "`xstilts clean --store DIR --node KEY` removes it"),
        ("xstilts data check --data DIR says more", "xstilts data check --data DIR says more"),
        ("a text -- with a dash", "a text -- with a dash"),
    ],
)
def test_options_become_arguments_and_commands_stay(said: str, argument: str) -> None:
    assert as_arguments(said) == argument


def test_no_public_name_is_a_module() -> None:
    """A module of that name would take the function's place once it is imported."""
    assert not [name for name in xstilts.__all__ if importlib.util.find_spec(f"xstilts.{name}")]
    assert set(xstilts.__all__) <= set(dir(xstilts))
