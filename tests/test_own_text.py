"""``xstilts predict`` and ``xstilts embed``: what the library says, in the input's order, streaming, whole or not at all."""

from __future__ import annotations

import atexit
import io
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from own_files import own_file, texts
from tiny_world import CLI, environment, tiny_model
from xstilts import cli, tasks
from xstilts.own_text import reading

Run = Callable[..., tuple[str, str]]
SHAPES = ("xnli", "udpos", "xquad", "commonsense_qa")
_HOME = tempfile.TemporaryDirectory(prefix="xstilts-own-")
atexit.register(_HOME.cleanup)


@cache
def trained(task: str) -> Path:
    """A model folder as training leaves it (its head is random: only that the same thing is computed matters)."""
    from xstilts.models.export import export
    from xstilts.models.model import Model

    name = {"xquad": "squad_v1"}.get(task, task)  # XQuAD has no training rows of its own
    shape = tasks.load(name).type
    assert shape.head is not None
    folder = Path(_HOME.name) / name
    export(Model.start(tiny_model(), shape.head, 3), folder, name, shape.name, shape.head.labels)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """``xstilts ARGUMENTS`` in this process; the exit status must be as expected."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(tasks, "_outside", {})
    monkeypatch.delenv("XSTILTS_STORE", raising=False)

    def call(*arguments: object, expect: int = 0, given: bytes = b"") -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["xstilts", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = (part.decode() for part in capfdbinary.readouterr())
        assert (ended.value.code or 0) == expect, f"{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    return call


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def library_outputs(folder: Path, examples: list[Any]) -> tuple[Any, list[dict[str, Any]]]:
    from xstilts.inference.predict import predict
    from xstilts.own_text.models import load_predictor

    loaded = load_predictor(folder, precision="fp32")
    outputs, _ = predict(loaded.model, loaded.task_type, examples, loaded.encoding, micro_batch_tokens=4096)
    return loaded.task_type, outputs


@pytest.mark.parametrize("task", SHAPES)
def test_rows_are_what_the_library_says_in_the_input_order(
    run: Run, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, examples = own_file(tmp_path, task, 23)
    found = parsed(run("predict", trained(task), path, "--precision", "fp32")[0])
    shape, expected = library_outputs(trained(task), examples)
    assert [row["line"] for row in found] == list(range(1, 24))
    for row, example, output in zip(found, examples, expected, strict=True):
        if task == "xnli":
            assert row["label"] == output["label"] == max(row["probabilities"], key=row["probabilities"].get)
            assert list(row["probabilities"]) == ["entailment", "neutral", "contradiction"]
            assert math.isclose(sum(row["probabilities"].values()), 1, abs_tol=1e-4)
        elif task == "udpos":
            assert (row["words"], row["tags"]) == (list(example.words), output["tags"])
        elif task == "xquad":
            assert row["answer"] == shape.answer(output) and row["answer"] == example.context[row["start"] : row["end"]]
            assert (row["score"], row["null_score"]) == (output["score"], output["null_score"])
        else:
            assert (row["choice"], row["text"]) == (output["choice"], example.choices[output["choice"]])
            assert row["probabilities"] == pytest.approx([math.exp(s) for s in output["scores"]], abs=1e-4)
    monkeypatch.setattr("xstilts.own_text.outputs.chunks", lambda rows, _: reading.chunks(rows, 4))
    again = parsed(run("predict", trained(task), path, "--precision", "fp32")[0])
    assert [_rounded(row) for row in again] == [_rounded(row) for row in found], "chunks change nothing"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


def test_a_head_that_knows_no_answer_may_give_none(run: Run, tmp_path: Path) -> None:
    path, _ = own_file(tmp_path, "xquad", 30)
    found = parsed(run("predict", trained("squad_v2"), path)[0])
    assert {row["answer"] == "" for row in found} == {row["null_score"] > row["score"] for row in found}
    for row in found:
        assert (row["answer"] == "") == (row["null_score"] > row["score"]) == (row["start"] is None)


@pytest.mark.parametrize("task", ["xnli", "udpos", "xquad"])
def test_long_rows_are_cut_or_windowed_and_say_so(run: Run, tmp_path: Path, task: str) -> None:
    short, long = "ab cd", " ".join(texts(40))
    rows = {
        "xnli": f"{short}\t{short}\n{long}\t{short}\n",
        "udpos": f"{short}\n{long}\n{'x' * 400}\n",
        "xquad": "".join(
            json.dumps({"question": q, "context": c}) + "\n" for q, c in [(short, short), (short, long), (long, long)]
        ),
    }[task]
    path = tmp_path / f"own.{'tsv' if task == 'xnli' else 'txt' if task == 'udpos' else 'jsonl'}"
    path.write_text(rows)
    out, err = run("predict", trained(task), path)
    first, second, *third = parsed(out)
    assert not {"cut", "windows", "dropped_tokens"} & set(first)
    if task == "xnli":
        assert second["cut"] is True and second["dropped_tokens"] > 100 and "windows" not in second
    else:
        assert second["windows"] > 2 and "cut" not in second
        assert third[0]["cut"] is True and third[0]["dropped_tokens"] > 0
    if task == "udpos":
        assert len(second["tags"]) == len(long.split())
    assert "1 of " in err and "cut: --max-length" in err


def test_bad_rows_stop_with_their_line_or_become_errors(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\nc\r\n\xff\t\xff\r\n\r\nd\te\r\n")
    out, err = run("predict", trained("xnli"), path, expect=2)
    assert out == "" and f"error: {path}:2: 1 column; needed: two columns: two texts" in err and "--skip-bad" in err
    out, err = run("predict", trained("xnli"), path, "--skip-bad", expect=1)
    found = parsed(out)
    assert [row["line"] for row in found] == [1, 2, 3, 4, 5]
    assert ["label" in row for row in found] == [True, False, False, False, True]
    assert ["error" in row for row in found] == [False, True, True, True, False]
    assert "3 of 5 rows are bad" in err
    out, err = run("predict", trained("xnli"), "-", expect=2, given=b"")
    assert "standard input: the file is empty" in err


def test_a_file_is_written_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    path, kept = tmp_path / "own.txt", tmp_path / "kept.jsonl"
    kept.write_text("old")
    path.write_bytes(b"good\n" * 2000 + b"\xff\n")
    run("predict", trained("udpos"), path, "--out", kept, expect=2)
    run("embed", tiny_model(), path, "--out", tmp_path / "v.npy", expect=2)
    assert kept.read_text() == "old" and sorted(p.name for p in tmp_path.iterdir()) == ["kept.jsonl", "own.txt"]
    path.write_bytes(b"good\n" * 5)
    assert run("predict", trained("udpos"), path, "--out", kept)[0] == ""
    assert len(parsed(kept.read_text())) == 5
    for place in (tmp_path, tmp_path / "no" / "x.jsonl"):
        assert "cannot write the output" in run("predict", trained("udpos"), path, "--out", place, expect=2)[1]


def test_standard_input_is_told_from_its_first_line(run: Run) -> None:
    assert parsed(run("predict", trained("xnli"), "-", given=b"a\tb\n")[0])[0]["line"] == 1
    assert "answer" in parsed(run("predict", trained("xquad"), "-", given=b'{"question": "a", "context": "b c"}')[0])[0]
    words = parsed(run("predict", trained("udpos"), "-", "--format", "conll", given=b"a\tX\nc\n\nb\n")[0])
    assert [row["words"] for row in words] == [["a", "c"], ["b"]]
    assert "cannot read txt" in run("predict", trained("xnli"), "-", given=b"a single text\n", expect=2)[1]


def test_what_is_no_model_for_this(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("a\n")
    own = tmp_path / "own.txt"
    assert "no such model folder" in run("predict", tmp_path / "no", own, expect=2)[1]
    assert "holds no config.json" in run("predict", tmp_path, own, expect=2)[1]
    err = run("predict", tiny_model(), own, expect=2)[1]
    assert "without a trained head" in err and "xstilts embed" in err
    err = run("predict", trained("xquad"), own, expect=2)[1]
    assert "a span model cannot read txt" in err and "question and context" in err
    assert "cannot read the file" in run("predict", trained("xquad"), tmp_path / "none.jsonl", expect=2)[1]
    assert "device 'cuda:9'" in run("embed", tiny_model(), own, "--device", "cuda:9", expect=2)[1]
    assert "--max-length 400" in run("embed", tiny_model(), own, "--max-length", 400, expect=2)[1]
    assert "layer 3 was asked of an encoder with 2 layers" in run("embed", tiny_model(), own, "--layer", 3, expect=2)[1]


@pytest.mark.parametrize("trained_for", ["retrieval", "masked_lm"])
def test_a_model_that_only_embeds_is_refused_to_predict(run: Run, tmp_path: Path, trained_for: str) -> None:
    from xstilts.models.export import export
    from xstilts.models.model import Model

    export(Model.start(tiny_model(), None), tmp_path / "m", "tatoeba", trained_for)
    (tmp_path / "own.txt").write_text("a\n")
    err = run("predict", tmp_path / "m", tmp_path / "own.txt", expect=2)[1]
    assert "no head that predicts" in err and "xstilts embed" in err
    run("embed", tmp_path / "m", tmp_path / "own.txt")


def test_a_task_of_ones_own_is_named_and_reads_single_texts(run: Run, tmp_path: Path) -> None:
    source = (Path(tasks.__file__).parent / "pawsx.py").read_text()
    (tmp_path / "mood.py").write_text(re.sub(r'name="pawsx"', 'name="mood"', source))
    folder = tmp_path / "model"
    shutil.copytree(trained("pawsx"), folder)
    said = folder / "xstilts.json"
    said.write_text(said.read_text().replace('"pawsx"', '"mood"'))
    (tmp_path / "own.txt").write_text("a text\n")
    err = run("predict", folder, tmp_path / "own.txt", expect=2)[1]
    assert "'mood', which is no task of this package" in err and "--task-file" in err
    out, _ = run("predict", folder, tmp_path / "own.txt", "--task-file", tmp_path / "mood.py")
    assert set(parsed(out)[0]["probabilities"]) == {"0", "1"}


def test_a_node_of_a_store_is_named_by_its_key_and_encodes_as_it_was_trained(run: Run, tmp_path: Path) -> None:
    def node(begin: str, **record: Any) -> Path:
        folder = tmp_path / "store" / "nodes" / begin / (begin + "0" * 62)
        folder.mkdir(parents=True)
        whole = {"key": folder.name, "version": 1, "spec": {}, "parents": {}, "labels": {}, "attempt": {}, **record}
        (folder / "node.json").write_text(json.dumps(whole))
        return folder

    training = node(
        "ab", kind="train", spec={"encoding": {**tasks.load("xnli").encoding.model_dump(), "max_length": 24}}
    )
    shutil.copytree(trained("xnli"), training / "model")
    node("cd", kind="calibrate", parents={})
    node("ee", kind="predict", parents={"model": training.name})
    node("ff", kind="score", parents={"predictions": "ee" + "0" * 62})
    path, store = own_file(tmp_path, "xnli", 9)[0], ("--store", tmp_path / "store")
    names = (("ab00", *store), ("ff", *store), (training,), (training / "model",))
    (said,) = {run("predict", name, path, *more)[0] for name, *more in names}
    assert '"cut": true' in said, "24 sub-words, as its node says"
    assert '"cut": true' not in run("predict", trained("xnli"), path, "--max-length", 78)[0]
    assert "unknown node 'ef'" in run("predict", "ef", path, *store, expect=2)[1]
    assert "a 'calibrate' node, not a training" in run("predict", "cd", path, *store, expect=2)[1]


def by_hand(text: str, layer: int, pooling: str) -> np.ndarray[Any, Any]:
    """A vector by plain transformers, one text at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model())
    model = AutoModel.from_pretrained(tiny_model()).eval()
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states[layer][0]
    vector: np.ndarray[Any, Any] = (states.mean(0) if pooling == "mean" else states[0]).numpy()
    return vector


@pytest.mark.parametrize(("layer", "pooling"), [(None, "mean"), (1, "first"), (0, "mean")])
def test_vectors_are_those_of_plain_transformers_in_line_order(
    run: Run, tmp_path: Path, layer: int | None, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xstilts.own_text.outputs.chunks", lambda rows, _: reading.chunks(rows, 3))
    given = [*texts(7), "ab", "ab"]
    (tmp_path / "own.txt").write_text("\n".join(given))
    more = ["--pooling", pooling, "--precision", "fp32", *(() if layer is None else ("--layer", layer))]
    printed = parsed(run("embed", tiny_model(), tmp_path / "own.txt", *more)[0])
    run("embed", tiny_model(), tmp_path / "own.txt", *more, "--out", tmp_path / "v.npy")
    run("embed", tiny_model(), tmp_path / "own.txt", *more, "--out", tmp_path / "v.jsonl")
    matrix = np.load(tmp_path / "v.npy", mmap_mode="r")
    assert matrix.dtype == np.float32 and matrix.shape == (9, 16)
    expected = np.stack([by_hand(text, 2 if layer is None else layer, pooling) for text in given])
    np.testing.assert_allclose(matrix, expected, atol=2e-6)
    assert np.array_equal(matrix, np.array([row["vector"] for row in printed], np.float32))
    assert parsed((tmp_path / "v.jsonl").read_text()) == printed


def test_layers_above_the_asked_one_are_not_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaLayer

    ran: list[int] = []
    whole = XLMRobertaLayer.forward

    def counted(self: Any, *given: Any, **named: Any) -> Any:
        ran.append(1)
        return whole(self, *given, **named)

    monkeypatch.setattr(XLMRobertaLayer, "forward", counted)
    (tmp_path / "own.txt").write_text("ab\n")
    counts = []
    for layer in (0, 1, 2):
        ran.clear()
        run("embed", tiny_model(), tmp_path / "own.txt", "--layer", layer)
        counts.append(len(ran))
    assert counts == [0, 1, 2]


def test_bad_rows_keep_their_line_in_a_matrix(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_bytes(b"ab\n\n\xff\ncd\n")
    run("embed", tiny_model(), tmp_path / "own.txt", "--skip-bad", "--out", tmp_path / "v.NPY", expect=1)
    assert np.isnan(np.load(tmp_path / "v.NPY")).all(axis=1).tolist() == [False, True, True, False]


def test_a_pipe_streams_chunk_by_chunk_and_may_be_closed() -> None:
    command = [*CLI, "predict", str(trained("udpos")), "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"ab cd\n" * (reading.CHUNK_ROWS + 1))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["line"] == 1
        process.stdout.close()
        try:
            process.stdin.write(b"ab cd\n" * 3 * reading.CHUNK_ROWS)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(60) == 141
        assert process.stderr.read() == b"", "no progress where nobody watches, no traceback"
