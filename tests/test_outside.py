"""Files that are traps: bombs, loops, pipes, devices. Each ends in an error of ours, at once, that says where and what."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from xstilts import outside
from xstilts.data.conllu import read_conllu
from xstilts.data.files import MOST_LINE_BYTES, json_lines, lines, load_json
from xstilts.data.gold import attach_neighbours
from xstilts.errors import DataError, GoldError, PredictionError, StudyError, XstiltsError
from xstilts.own_text.reading import opened
from xstilts.scoring import read_rows
from xstilts.study import load_study
from xstilts.submission import score_submission
from xstilts.task_types import Bitext

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)
MERGES = "a0: &a0 {x0: 1}\n" + "".join(
    f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 9)}], x{k}: 1}}\n" for k in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (LAUGHS, 5, "more than 50,000 values"),
        (MERGES, 6, "more than 50,000 values"),
        ("name: &a [*a]\n", 1, "inside of what it stands for"),
        ("name:\n  " + "[" * 5000, 2, "nests deeper than 40"),
        ("name: x\n" + "- " * 400, 2, "not YAML"),
        ("name: !!python/object/apply:os.system [exit]\n", 1, "python/object/apply"),
        ("name: !!python/name:os.system x\n", 1, "python/name"),
        ("name: x\nnotes: {made: 2001-99-99}\n", 2, "month must be"),
        ("name: !!int x\n", 1, "invalid literal"),
        ('name: "\\ud800"\n', 1, "surrogate"),
        ('name: "\\UFFFFFFFF"\n', 1, "not YAML"),
        ("name: " + "9" * 5000 + "\n", 1, "digits"),
        ("name: x\0\n", 0, "special characters are not allowed"),
        ("# " + "x" * 2**18, 0, "larger than 262,144 bytes"),
    ],
)
def test_a_study_file_that_is_a_trap(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert says in caught.value.what and len(str(caught.value)) < 500
    assert caught.value.where == (f"{path}:{line}" if line else str(path))


def test_aliases_that_people_write_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    arm = "name: s\nmodels: {m: {path: x}}\ntargets: [xnli]\ntraining: {intermediate: &few {max_steps: 2}, target: *few}\n"
    path.write_text(arm + "arms: {none: {}}\n")
    assert load_study(path).training["target"] == {"max_steps": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nests too deep"),
        ('{"a":' * 100_000, "nests too deep"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ('{"a": "\\ud83d"}', "half of a surrogate pair"),
    ],
)
def test_json_that_exhausts_its_parser(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n" + text)
    with pytest.raises(DataError, match=says) as caught:
        list(json_lines(path))
    assert caught.value.where == f"{path}:2"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        load_json(path)
    assert caught.value.where == str(path)
    with pytest.raises(PredictionError, match=says):
        read_rows(path)


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"a": "\U0001f600"}))
    assert load_json(path) == {"a": "\U0001f600"}


def bomb(path: Path, megabytes: int, line: bytes = b"\0" * 1023 + b"\n") -> Path:
    with gzip.open(path, "wb", compresslevel=6) as out:
        for _ in range(megabytes):
            out.write(line * (2**20 // len(line)))
    return path


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = bomb(tmp_path / "dev-en.tsv.gz", 24)
    assert path.stat().st_size < 2**17
    for read in (lambda: sum(1 for _ in lines(path)), lambda: load_json(path)):
        with pytest.raises(DataError, match="unpacks to more than 250 times its size"):
            read()
    with pytest.raises(DataError, match="unpacks to more than 250 times"), opened(str(path)) as (_, stream):
        while stream.readline(2**16):
            pass


def test_packed_text_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv.gz"
    path.write_bytes(gzip.compress(b"the same line again\n" * 100_000))
    assert sum(1 for _ in lines(path)) == 100_000


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    with path.open("wb") as out:
        out.write(b"a\n")
        out.truncate(2**33)  # 8 GiB of NUL, sparse
    with pytest.raises(DataError, match=f"longer than {MOST_LINE_BYTES:,} bytes") as caught:
        list(lines(path))
    assert caught.value.where == f"{path}:2"
    with pytest.raises(DataError, match="larger than 536,870,912 bytes"):
        load_json(path)


def special(folder: Path) -> list[tuple[Path, str]]:
    """Things that are no plain files, with what is said of them."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "loop").symlink_to("loop")
    names = {"pipe": "it is a pipe", "folder": "it is a folder", "zero": "it is a device", "loop": "symbolic links"}
    return [(folder / name, says) for name, says in names.items()]


def test_pipes_and_devices_are_named_not_waited_for(tmp_path: Path) -> None:
    for path, says in special(tmp_path):
        with pytest.raises(OSError, match=says):
            outside.open_plain(path)
        for call in (lambda p=path: list(lines(p)), lambda p=path: load_json(p), lambda p=path: load_study(p)):
            with pytest.raises(XstiltsError, match=says):
                call()
        with pytest.raises(DataError, match=says), opened(str(path)):
            pass
    with pytest.raises(OSError, match="no file can have this name"):
        outside.open_plain(Path("a\0b"))


def test_a_submission_of_traps_is_refused(tmp_path: Path) -> None:
    gold, said = tmp_path / "gold" / "xnli", tmp_path / "said" / "xnli"
    gold.mkdir(parents=True)
    said.mkdir(parents=True)
    (gold / "test-en.tsv").write_text("neutral\nentailment\n")
    path = said / "test-en.tsv"
    for make, says in (
        (lambda: os.mkfifo(path), "there is no such file of predictions"),
        (lambda: path.mkdir(), "there is no such file of predictions"),
        (lambda: path.touch(), "0 lines, the gold has 2"),
        (lambda: path.symlink_to("/dev/zero"), "there is no such file of predictions"),
        (lambda: path.write_bytes(b"x" * 2**22 + b"\n"), "1 lines, the gold has 2"),
    ):
        make()
        with pytest.raises(PredictionError) as caught:
            score_submission(tmp_path / "said", tmp_path / "gold", partial=True)
        assert says in str(caught.value) and len(str(caught.value)) < 5000
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("ids", ["0-0", "2-1", "1-0", "3-4", "-1--1"])
def test_a_fused_form_that_runs_backwards_is_no_loop(tmp_path: Path, ids: str) -> None:
    path = tmp_path / "x.conllu"
    path.write_text(f"1\ta\t_\tNOUN\t_\t_\t0\t_\t_\t_\n{ids}\tab" + "\t_" * 8 + "\n2\tb\t_\tNOUN\t_\t_\t1\t_\t_\t_\n")
    with pytest.raises(DataError) as caught:
        list(read_conllu((path,), "de"))
    assert caught.value.where == f"{path}:2"


def test_a_line_number_of_thousands_of_digits_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gold.tsv"
    path.write_text("0\n" + "9" * 5000 + "\n")
    bitext = Bitext("de", ("0", "1"), ("a", "b"), ("0", "1"), ("c", "d"), None)
    with pytest.raises(GoldError) as caught:
        attach_neighbours(bitext, path, "texts")
    assert caught.value.where == f"{path}:2"


def test_what_an_error_shows_is_short_and_no_command_for_a_terminal() -> None:
    said = str(DataError(f"a\x1b[2Jb\ud800\u202e{'x' * 10_000}\nc\t\u200c", where="f\x07"))
    assert len(said) < 4200 and "characters" in said
    assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said and said.encode()
    assert "\\x1b[2Jb\\ud800\\u202e" in said and said.endswith("\nc\t\u200c")
