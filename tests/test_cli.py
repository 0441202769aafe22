"""The command line: bad input is one clear message and status 2, JSON is JSON, and looking at things loads no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xstilts
from tiny_world import CLI, environment, fake_model, tiny_data, write_study
from xstilts import cli, journey, tasks
from xstilts.graph.store import Store

Call = Callable[..., tuple[str, str]]
STUDY: dict[str, Any] = {
    "name": "s",
    "models": {"m": {"path": "model"}},
    "arms": {"none": {}, "mnli": {"intermediate": "mnli"}},
    "targets": ["pawsx"],
    "seeds": [1],
    "precision": "fp32",
}


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """``xstilts ARGUMENTS`` in this process: standard output and error; the exit status must be as expected."""
    monkeypatch.setattr(tasks, "_outside", {})
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("XSTILTS_DATA", "XSTILTS_STORE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object, expect: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["xstilts", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) == expect, f"{said.out}\n{said.err}"
        return said.out, said.err

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_data(), tmp_path / "data"))


def study(folder: Path, **changes: Any) -> Path:
    """A study file beside a model folder."""
    fake_model(folder / "model")
    return write_study(folder, {**STUDY, **changes})


def refused(call: Call, *arguments: object) -> str:
    """The message of bad input: nothing else is printed, no traceback."""
    out, err = call(*arguments, expect=2)
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"targets": ["pawsy"]}, ["targets: unknown target task 'pawsy'", "did you mean 'pawsx'?"]),
        ({"arms": {"a": {"intermediate": "mnly"}}}, ["arms.a.intermediate", "'mnly'", "'mnli'"]),
        ({"target": ["xnli"]}, ["s.yaml: target: unknown field", "'targets'"]),
        ({"training": {"pawsx": {"epoch": 1}}}, ["training.pawsx.epoch: unknown field", "'epochs'"]),
        ({"training": {"pawsx": {"epochs": 0}}}, ["training.pawsx.epochs", "greater than 0"]),
        ({"languages": ["dd"]}, ["languages: unknown language 'dd'"]),
        ({"models": {"m": {"path": "nowhere"}}}, ["models.m: no config.json", "--model m=FOLDER"]),
        ({"data": {"files": {"mnli.train": "no.tsv"}}}, ["no.tsv", "not there", "data.files: mnli.train"]),
    ],
)
def test_a_study_that_cannot_be(call: Call, tmp_path: Path, changes: dict[str, Any], says: list[str]) -> None:
    err = refused(call, "plan", study(tmp_path, **changes), "--data", tiny_data(), "--store", tmp_path / "store")
    for part in says:
        assert part in err


def test_studies_and_folders_that_are_not_there(call: Call, tmp_path: Path) -> None:
    there = study(tmp_path)
    assert "'s.yaml'" in refused(
        call, "plan", tmp_path / "ss.yaml", "--data", tiny_data(), "--store", tmp_path / "store"
    )
    assert "unknown recipe or study file" in refused(call, "plan", "no-such-recipe", "--store", tmp_path / "store")
    assert "no such data folder" in refused(
        call, "plan", there, "--data", tmp_path / "no", "--store", tmp_path / "store"
    )
    for verb in (["status"], ["results"], ["why", "ab"], ["clean"]):
        assert "no store here" in refused(call, *verb, "--store", tmp_path / "no")
    assert "'m' is not NAME=FOLDER" in refused(
        call, "plan", there, "--data", tiny_data(), "--model", "m", "--store", tmp_path / "store"
    )
    assert "unknown model 'n'" in refused(
        call, "plan", there, "--data", tiny_data(), "--model", "n=x", "--store", tmp_path / "store"
    )


def test_wrong_options_are_bad_input(call: Call) -> None:
    assert "--no-such" in refused(call, "plan", "x", "--no-such")
    assert "no-verb" in refused(call, "no-verb")


def test_files_that_are_not_there(call: Call, tmp_path: Path, data: Path) -> None:
    arguments = ("plan", study(tmp_path), "--data", data, "--store", tmp_path / "store")
    (data / "pawsx" / "test-ko.tsv").unlink()
    err = refused(call, *arguments)
    looked = "pawsx/test-ko.tsv or x-final/ko/test_2k.tsv"
    for part in ("pawsx has no test files for ko", looked, "get them: ", "languages: available"):
        assert part in err
    shutil.rmtree(data / "pawsx")
    assert "pawsx has no en train files; looked for pawsx/train-en.tsv" in refused(call, *arguments)


def test_damaged_files_that_planning_reads(call: Call, tmp_path: Path, data: Path) -> None:
    file = data / "mlqa" / "MLQA_V1" / "dev" / "dev-context-de-question-de.json"
    file.write_text(file.read_text()[:200])
    with_gold = study(tmp_path, targets=["mlqa"], languages="with_gold")
    err = refused(call, "plan", with_gold, "--data", data, "--store", tmp_path / "store")
    assert f"{file}:1" in err
    assert "not valid JSON" in err


def test_data_check_names_every_bad_place_with_status_1(call: Call, data: Path) -> None:
    call("data", "check", "--data", data)
    (data / "pawsx" / "dev-de.tsv").write_text("a\tb\t1\nc\td\n")
    (data / "xnli" / "dev-de.tsv").write_text("")
    (data / "xquad" / "xquad.de.json").write_text('{"data": [')
    out, _ = call("data", "check", "--data", data, "--json", "-", expect=1)
    said = json.dumps(json.loads(out))
    for part in ("pawsx/dev-de.tsv:2", "xnli/dev-de.tsv", "xquad/xquad.de.json:1"):
        assert part in said


@pytest.fixture
def submission(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and gold of one language of one task."""
    for name in ("mine", "gold"):
        (tmp_path / name / "xnli").mkdir(parents=True)
        (tmp_path / name / "xquad").mkdir()
        (tmp_path / name / "xnli" / "test-de.tsv").write_text("neutral\nentailment\nneutral\n")
    return tmp_path / "mine", tmp_path / "gold"


def test_submissions_that_cannot_be_scored(call: Call, submission: tuple[Path, Path]) -> None:
    mine, gold = submission
    ours = ("score", "--predictions", mine, "--gold", gold)
    assert "a language is missing" in refused(call, *ours)
    out, _ = call(*ours, "--partial", "--json", "-")
    assert json.loads(out)["tasks"]["xnli"]["score"] == 100
    (mine / "xnli" / "test-de.tsv").write_text("neutral\nentailment\n")
    err = refused(call, *ours, "--partial")
    assert "2 lines, the gold has 3" in err
    assert str(mine / "xnli" / "test-de.tsv") in err
    (mine / "xnli" / "test-de.tsv").write_text("neutral\n\nneutral\n")
    assert "test-de.tsv:2" in refused(call, *ours, "--partial")
    (mine / "xnli" / "test-de.tsv").write_text("")
    assert "0 lines, the gold has 3" in refused(call, *ours, "--partial")
    (mine / "xnli" / "test-de.tsv").unlink()
    shutil.copy(tiny_data() / "labels" / "xquad" / "test-de.json", gold / "xquad")
    (mine / "xquad" / "test-de.json").write_text('{"q": "a')
    assert "test-de.json:1: not json" in refused(call, *ours, "--partial")


def test_alone_it_greets_and_says_what_is_next(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    out, _ = call()
    assert out.startswith(f"xstilts {xstilts.__version__}")
    for verb in ("tasks", "data check", "plan", "run", "score"):
        assert f"xstilts {verb}" in out
    assert out.endswith("Next: xstilts run pocket --data pocket\n")
    (tmp_path / "store" / "studies").mkdir(parents=True)
    (tmp_path / "store" / "studies" / "mine.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert call()[0].endswith("Next: xstilts results mine\n")
    monkeypatch.setenv("XSTILTS_STORE", str(tmp_path / "store"))
    assert f"xstilts results mine --store {tmp_path / 'store'}" in call()[0].replace("\n", "")
    assert call("--version")[0] == f"xstilts {xstilts.__version__}\n"


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """A store that knows a study of which nothing is computed yet and one node failed."""
    with journey.open_store(tmp_path / "store") as store:
        plan = journey.plan_study(study(tmp_path), tiny_data(), store)
        store.save_study("s", plan.payload())
        store.fail(plan.graph.nodes[0], ValueError("as told"))
    return tmp_path


def test_json_of_every_verb_parses(call: Call, planned: Path) -> None:
    store = ("--store", planned / "store", "--json", "-")
    plan = json.loads(call("plan", planned / "s.yaml", "--data", tiny_data(), *store)[0])
    assert plan["kinds"]["score"] == {"waiting": 2, "blocked": 2}
    (status,) = json.loads(call("status", *store)[0])
    assert (status["study"], status["failed"][0]["text"]) == ("s", "as told")
    key = status["failed"][0]["key"]
    assert json.loads(call("why", key[:10], *store)[0])["ancestry"][0]["failure"]["text"] == "as told"
    assert len(json.loads(call("results", "s", *store)[0])) == plan["cells"]
    assert len(json.loads(call("tasks", "--json", "-")[0])) == 18
    assert json.loads(call("models", planned / "model", "--json", "-")[0])["models"][0]["num_layers"] == 2
    assert "--model" not in refused(call, "models", planned / "nowhere"), "no option of this verb"
    of_one = call("models", planned / "model")[0]
    assert "2 layers" in of_one and "AutoModelForQuestionAnswering" in of_one and "camembert" not in of_one
    assert isinstance(json.loads(call("clean", *store)[0]), list)
    call("status", "--store", planned / "store", "--json", planned / "status.json")
    assert json.loads((planned / "status.json").read_text()) == [status]


def test_people_read_something_too(call: Call, planned: Path) -> None:
    store = ("--store", planned / "store")
    assert "s: 11 nodes, 0 done; fp32" in call("plan", planned / "s.yaml", "--data", tiny_data(), *store)[0]
    assert "as told" in call("status", *store)[0]
    assert "no scores yet" in call("results", *store)[0]
    listed = call("tasks")[0]
    assert all(t.name in listed for t in (*tasks.targets(), *tasks.intermediate()))
    assert "unknown study 't'" in refused(call, "status", "t", *store)
    assert "unknown node 'ffffffffffffffff'" in refused(call, "why", "f" * 16, *store)


TASK = """
from xstilts.data.pairs import read_paraphrase
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import Classification
from xstilts.tasks.task import Task

TASK = Task(
    name="mine", role="target", title="Mine", type=Classification(("1", "0")), group="classification",
    languages=("en", "de"), files={"train": (("mine/{language}.tsv",),), "test": (("mine/{language}.tsv",),)},
    read=read_paraphrase, metric=accuracy_metric, main_score=("accuracy",), trains_on="mine",
    paper="none", licence="CC0-1.0", address="none", fetch="write them",
)
"""


def test_a_task_from_outside_is_planned_by_its_bytes(call: Call, tmp_path: Path, data: Path) -> None:
    (data / "mine").mkdir()
    for language in ("en", "de"):
        shutil.copy(data / "pawsx" / f"dev-{language}.tsv", data / "mine" / f"{language}.tsv")
    file, mine = tmp_path / "mine.py", study(tmp_path, targets=["mine"], training={"mine": {"selection": "last"}})
    file.write_text(TASK)
    arguments = ("plan", mine, "--data", data, "--store", tmp_path / "store", "--json", "-")

    def keys() -> dict[str, str]:
        plan = json.loads(call(*arguments, "--task-file", file)[0])
        return {n["title"]: n["key"] for n in plan["titles"]}

    assert "unknown target task 'mine'" in refused(call, *arguments)
    before = keys()
    assert keys() == before
    file.write_text(TASK + "# a remark\n")
    after = keys()
    assert set(after) == set(before)
    # MNLI's training too: its rows are held against the test set that the file reads.
    assert {title for title in before if before[title] != after[title]} == set(before)
    assert "mine" in call("tasks", "--task-file", file)[0]
    file.write_text(TASK.replace('"mine", role', '"xnli", role'))
    assert "belongs to a shipped task" in refused(call, *arguments, "--task-file", file)
    file.write_text("x = 1\n")
    assert "declares no TASK" in refused(call, *arguments, "--task-file", file)
    assert "cannot read the task file" in refused(call, *arguments, "--task-file", tmp_path / "no.py")


def test_where_json_goes_is_looked_at_before_any_work(
    call: Call, planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ("plan", planned / "s.yaml", "--data", tiny_data(), "--store", planned / "new", "--json")
    assert "the folder of this file is not there" in refused(call, *plan, planned / "nope" / "x.json")
    assert "this is a folder" in refused(call, *plan, planned)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        assert "no permission to write here" in refused(call, *plan, planned / "x.json")
    assert not (planned / "new").exists()
    before = {p.name for p in planned.iterdir()}
    (planned / "real.json").write_text("old")
    (planned / "link.json").symlink_to("real.json")
    call("status", "--store", planned / "store", "--json", planned / "link.json")
    assert (planned / "link.json").is_symlink()
    assert json.loads((planned / "real.json").read_text())[0]["study"] == "s"
    assert {p.name for p in planned.iterdir()} == before | {"real.json", "link.json"}
    call("status", "--store", planned / "store", "--json", "/dev/null")
    assert not Path("/dev/null").is_file()


def test_data_check_looks_at_the_files_a_study_points_at(call: Call, tmp_path: Path, data: Path) -> None:
    (data / "mine.tsv").write_text("a\tb\t1\nc\td\tperhaps\n")
    mine = study(tmp_path, data={"files": {"pawsx.train": "mine.tsv"}}, models={"m": {"path": "not-here"}})
    call("data", "check", "--data", data)
    out, _ = call("data", "check", "--data", data, "--study", mine, "--json", "-", expect=1)
    assert "mine.tsv:2" in json.dumps(json.loads(out))
    wrong = study(tmp_path, data={"files": {"pawsy.train": "mine.tsv"}})
    assert "'pawsy'" in refused(call, "data", "check", "--data", data, "--study", wrong)


@pytest.mark.parametrize("verb", [["tasks", "--json", "-"], ["models", "--json", "-"], ["tasks"], []], ids=" ".join)
def test_a_reader_that_leaves_is_no_failure_of_ours(verb: list[str]) -> None:
    """Whether it is met in the middle of the verb or when the last lines are flushed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*CLI, *verb],
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**environment(), "PYTHONUNBUFFERED": ""},
            timeout=100,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_looking_at_things_loads_no_torch(planned: Path, submission: tuple[Path, Path]) -> None:
    store = ["--store", str(planned / "store")]
    key = Store(planned / "store").failures()[0]
    verbs = [
        ["plan", str(planned / "s.yaml"), "--data", str(tiny_data()), *store],
        ["results", *store],
        ["status", *store],
        ["why", key, *store],
        ["tasks"],
        ["models", str(planned / "model")],
        ["clean", *store],
        ["data", "check", "--data", str(tiny_data())],
        ["score", "--predictions", str(submission[0]), "--gold", str(submission[1]), "--partial"],
    ]
    code = (
        "import json, sys\nfrom xstilts.cli import main\n"
        "for verb in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['xstilts', *verb]\n"
        "    try:\n        main()\n"
        "    except SystemExit as ended:\n        assert not ended.code, (verb, ended.code)\n"
        "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, json.dumps(verbs)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
