"""A model in Python: it answers as the command line does, learns as a study's training does, and says what is wrong."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import xstilts
from own_files import own_file, texts
from tiny_world import SHORT, tiny_data, tiny_model
from xstilts.cli import own_text as verbs
from xstilts.errors import DataError, MeasurementError, MissingNameError, ModelError, StoreError, StudyError
from xstilts.execute import execute
from xstilts.graph.disk import digest_file
from xstilts.graph.node import Resources
from xstilts.graph.store import Store
from xstilts.graph.worker import Progress
from xstilts.journey import plan_study
from xstilts.own_text.reading import own_examples
from xstilts.study import parse_study
from xstilts.task_types.span import Answer
from xstilts.tasks import load

FEW: dict[str, Any] = {"max_steps": 2, "batch_size": 6}


def rows(task: str = "pawsx", split: str = "train") -> list[dict[str, Any]]:
    with (tiny_data() / task / f"{split}-en.tsv").open(encoding="utf-8", newline="") as file:
        return [
            dict(zip(("first", "second", "label"), row, strict=True))
            for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


@pytest.fixture(scope="module")
def trained() -> xstilts.LoadedModel:
    return xstilts.load(tiny_model()).train("pawsx", rows(), max_length=76, **FEW)


def test_it_learns_what_a_node_of_a_study_learns(tmp_path: Path) -> None:
    study = parse_study(
        {
            "name": "same",
            "models": {"tiny": {"path": str(tiny_model())}},
            "arms": {"none": {}},
            "targets": ["pawsx"],
            "seeds": [3],
            "precision": "fp32",
            "training": {"target": {**FEW, "selection": "dev", "selection_rows": 8}},
            "encoding": {"target": SHORT},
        }
    )
    plan = plan_study(study, tiny_data(), Store(tmp_path / "store"))
    (node,) = [node for node in plan.graph if node.kind == "train"]
    out = tmp_path / "claim" / "out"
    out.mkdir(parents=True)
    execute(node, {}, out, Resources(plan.files, plan.models), Progress(lambda _: None))
    own = xstilts.load(tiny_model(), precision="fp32").train(
        "pawsx", rows(), dev=rows(split="dev"), seed=3, max_length=48, to=tmp_path / "own", selection_rows=8, **FEW
    )
    assert digest_file(own.folder / "model.safetensors") == digest_file(out / "model" / "model.safetensors")
    assert [line["step"] for line in own.history if "loss" in line] == [1, 2]
    assert [line for line in own.history if "dev" in line]


@pytest.mark.parametrize("task", ["xnli", "udpos", "xquad"])
def test_rows_in_python_and_in_a_file_get_equal_answers(task: str, tmp_path: Path) -> None:
    file, examples = own_file(tmp_path, task, 7)
    fields = {"xnli": ("first", "second"), "udpos": ("words",), "xquad": ("question", "context")}[task]
    given = [{name: getattr(example, name) for name in fields} for example in examples]
    model = xstilts.load(tiny_model(), max_length=76).train(task, learned(task), max_steps=1)
    found = model.predict(given)
    assert found == model.predict(file) == model.predict(str(file))
    assert found == model.predict([row["words"] if task == "udpos" else tuple(row.values()) for row in given])
    verbs.predict(str(model.folder), str(file), out=tmp_path / "out.jsonl", max_length=76)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{"line": n, **row} for n, row in enumerate(found, 1)] == lines


def learned(task: str) -> list[dict[str, Any]]:
    """Rows with gold of the shape of a task."""
    match task:
        case "xnli":
            return [{"first": text, "second": "b", "label": "neutral"} for text in texts(6)]
        case "udpos":
            return [{"text": text, "tags": ["NOUN"] * len(text.split())} for text in texts(6)]
    answers = [{"text": text.split()[0], "answer_start": 0} for text in texts(6)]
    return [{"question": "q", "context": t, "answers": [a]} for t, a in zip(texts(6), answers, strict=True)]


def test_vectors_are_those_of_the_command_line(tmp_path: Path) -> None:
    lines = texts(9)
    (tmp_path / "rows.txt").write_text("".join(f"{line}\n" for line in lines))
    model = xstilts.load(tiny_model())
    found = model.embed(lines, layer=1, pooling="first")
    verbs.embed(str(tiny_model()), str(tmp_path / "rows.txt"), out=tmp_path / "v.npy", layer=1, pooling="first")
    assert np.array_equal(found, np.load(tmp_path / "v.npy"))
    assert np.isnan(model.embed(["a", " "], skip_bad=True)[1]).all()


def test_a_model_that_gives_the_gold_scores_100(trained: xstilts.LoadedModel) -> None:
    pairs = [{k: row[k] for k in ("first", "second")} for row in rows(split="dev")]
    answers = [answer["label"] for answer in trained.predict(pairs)]
    gold = [{**pair, "label": label} for pair, label in zip(pairs, answers, strict=True)]
    assert trained.score(gold) == {"accuracy": 100.0}
    gold[0]["label"] = "1" if answers[0] == "0" else "0"
    assert trained.score(gold)["accuracy"] == pytest.approx(100 * (1 - 1 / len(gold)))


def test_a_folder_remembers_how_its_texts_were_cut(tmp_path: Path) -> None:
    to = tmp_path / "own"
    xstilts.load(tiny_model()).train("pawsx", rows(), max_length=24, to=to, **FEW)
    again = xstilts.load(to)
    assert again.task == "pawsx"
    with pytest.warns(UserWarning, match="1 of 1 rows were too long and cut"):
        assert again.predict([("a " * 40, "b")])[0]["dropped_tokens"] > 0


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "own-task.md").read_text(encoding="utf-8")
    code = guide.split("```python\n")[1].split("```")[0].replace('"polarity"', '"mood"')
    (tmp_path / "mood.py").write_text(code)
    good = [{"first": text, "label": ("negative", "positive")[n % 2]} for n, text in enumerate(texts(6))]
    model = xstilts.load(tiny_model(), max_length=48).train(tmp_path / "mood.py", good, max_steps=1)
    (answer,) = model.predict(["one text"])
    assert set(answer["probabilities"]) == {"negative", "positive"}
    assert math.isclose(sum(answer["probabilities"].values()), 1, abs_tol=1e-3)


def test_a_model_of_the_hub_is_named_by_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, home = "a" * 40, tmp_path / "models--tiny--own"
    folder = shutil.copytree(tiny_model(), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert xstilts.load("tiny/own").folder == xstilts.load(f"tiny/own@{commit}").folder == folder
    with pytest.raises(ModelError, match=r"(?s)cannot get 'no/such' at v2 from the hub.*it is no folder here"):
        xstilts.load("no/such@v2")


class Frame:
    """A table as pandas has them: it gives the names of its columns, one after the other."""

    columns = ("text",)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


def wrong_calls() -> Iterator[tuple[Callable[[Any], object], type[Exception], str]]:
    def base() -> xstilts.LoadedModel:
        return xstilts.load(tiny_model())

    yield lambda _: xstilts.load(""), ModelError, "store=DIR"
    yield lambda _: base().predict(["a"]), ModelError, "no xstilts.json"
    yield lambda _: base().embed(["a"], layer=9), ModelError, r"layer: layer 9"
    yield lambda _: base().embed(["a", 3]), DataError, r"rows\[1\]: a row of type int: 3; needed: a text"
    yield lambda _: base().embed("no such text.txt"), DataError, "no such text.txt: cannot read"
    yield lambda _: base().embed("one long text " * 99), DataError, r"cannot read.*\n.*in a list: \[text\]"
    yield lambda _: base().embed([]), DataError, "there is no row"
    yield lambda _: base().embed({"text": "a"}), DataError, "^rows: a dict is not read row by row"
    yield lambda _: base().embed(Frame()), DataError, r"a Frame is not read.*\n.*to_dict\('records'\)"
    yield lambda _: xstilts.load(tiny_model(), precision=cast(Any, "fp16")).embed(["a"]), MissingNameError, "bf16"
    yield lambda _: xstilts.load(tiny_model(), stream=cast(Any, True)), MissingNameError, "^stream: .*'True'"
    yield lambda _: xstilts.load(tiny_model(), max_length=0).embed(["a"]), ModelError, "^max_length: "
    yield lambda _: xstilts.load(tiny_model(), task_file="no.py").bench("pawsx"), DataError, r"/no\.py: cannot read"
    yield lambda _: xstilts.load(tiny_model(), device="gpu").embed(["a"]), ModelError, "device: device 'gpu'"
    yield lambda _: xstilts.load(tiny_model(), max_length=999).embed(["a"]), ModelError, "max_length=999 was asked"
    yield lambda _: base().train("pawx", rows()), MissingNameError, "pawsx"
    yield lambda _: base().train("tatoeba", rows()), ModelError, "without any training"
    yield lambda _: base().train("pawsx", rows(), epoch=1), MissingNameError, "epochs"
    yield lambda _: base().train("pawsx", rows(), epochs=-1), StudyError, "training.epochs"
    yield lambda _: base().train("pawsx", rows(), seed=-1), StudyError, "^seed: -1 is no whole number from 0"
    yield lambda _: base().train("pawsx", rows(), micro_batch_tokens=0), StudyError, "^micro_batch_tokens: 0"
    yield lambda _: base().train("pawsx", [("a", "b")]), DataError, r"rows\[0\]: .*label"
    yield lambda _: base().train("pawsx", rows(), dev=[("a", "b")]), DataError, r"^dev\[0\]: .*label"
    yield lambda of: base().train("pawsx", rows(), to=of.folder), StoreError, "^to /.*nothing is overwritten"
    yield lambda of: of.predict([("a", "b"), ("a",)]), DataError, r"rows\[1\].*\n.*skip_bad=True"
    yield lambda of: of.predict(["a", "b"]), DataError, r"rows\[0\]: a row of type str: 'a'; needed: a pair"
    yield lambda of: of.score([{"first": "a", "second": "b", "label": 1}]), DataError, "label 1 is none of '0', '1'"
    yield lambda of: of.bench("pawsx", data="nowhere"), DataError, "nowhere"
    yield lambda of: of.bench("pawsx", data=tiny_data(), rows=0), MeasurementError, "^rows: .*greater"


@pytest.mark.parametrize("number", range(len(list(wrong_calls()))))
def test_errors_speak_to_a_python_user(number: int, trained: xstilts.LoadedModel) -> None:
    call, kind, says = list(wrong_calls())[number]
    with pytest.raises(kind, match=says) as caught:
        call(trained)
    assert "--" not in str(caught.value)


WORDS: dict[str, Any] = {"words": ["a", "b"]}
ASKED: dict[str, Any] = {"question": "q", "context": "a b"}


@pytest.mark.parametrize(
    ("task", "row", "says"),
    [
        ("udpos", {**WORDS, "tags": [7, 15]}, "tag 7 is none of 'ADJ', "),
        ("udpos", {**WORDS, "tags": ["NOUN", "NN"]}, "tag 'NN' is none of 'ADJ', "),
        ("udpos", {**WORDS, "tags": 7}, "'tags' must be a list, found 7"),
        ("udpos", {**WORDS, "tags": ["NOUN"]}, "2 words, but 1 tags"),
        ("ccg", {**WORDS, "tags": ["N", 7]}, "tag 7 is no text"),
        ("xquad", {**ASKED, "answers": 2}, "'answers' must be a list, found 2"),
        ("xquad", {**ASKED, "answers": {"text": ["b"], "answer_start": [2]}}, "'answers' must be a list, found {"),
        ("xquad", {**ASKED, "answers": [{"text": 2, "answer_start": 2}]}, "the answer 2 is no text"),
        (
            "xquad",
            {**ASKED, "answers": [{"text": "", "answer_start": 0}]},
            "empty list of answers says that there is none",
        ),
        ("xquad", {**ASKED, "answers": [{"text": "b", "answer_start": -1}]}, "'b' is not at character -1"),
        ("pawsx", {"first": "a", 2: "b", "label": "0"}, r"missing 'second'; the row has ['first', 2, 'label']"),
    ],
)
def test_gold_of_another_kind_is_no_row(task: str, row: dict[str, Any], says: str) -> None:
    """Tags that a head does not know would score 0, and an empty answer is where test files hide their gold."""
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        own_examples([row], load(task).type, pairs=True)
    assert caught.value.where == "rows[0]"


def test_a_number_of_numpys_is_a_place() -> None:
    answers = [{"text": "b", "answer_start": np.int64(2)}]
    (example,) = own_examples([{**ASKED, "answers": answers}], load("xquad").type, pairs=True)
    assert example.answers == (Answer("b", 2),)


def test_a_folder_that_is_damaged_says_so(trained: xstilts.LoadedModel, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "own")
    (folder / "xstilts.json").write_text("[]")
    (folder / "training.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(ModelError, match=r"xstilts\.json is damaged"):
        repr(xstilts.load(folder))
    with pytest.raises(ModelError, match=r"training\.jsonl is damaged"):
        assert xstilts.load(folder).history
