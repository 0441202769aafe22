"""``xstilts export``: one verb, three forms; options that do not belong to the form are refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from made_store import made_store, training
from tiny_world import tiny_model
from xstilts import cli

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``xstilts export ARGUMENTS`` in this process; the exit status must be as expected."""
    monkeypatch.delenv("XSTILTS_STORE", raising=False)

    def call(*arguments: object, expect: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["xstilts", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) == expect, said.err
        return said.out, said.err

    return call


@pytest.mark.parametrize("form", ["transformers", "sentence-transformers"])
@pytest.mark.parametrize("name", ["LICENSE", "tokenizer.json", "spm.model"])
def test_a_link_out_of_the_model_folder_gives_nothing_away(run: Run, tmp_path: Path, name: str, form: str) -> None:
    folder = Path(shutil.copytree(tiny_model(), tmp_path / "model"))
    secret = tmp_path / "secret"
    secret.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"a key")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    _, said = run(folder, "--to", tmp_path / "given", "--as", form, expect=2)
    assert f"{folder / name}: a link out of its folder, to {secret}" in said
    assert not (tmp_path / "given").exists()
    (folder / name).unlink()
    (folder / "inside").write_bytes(secret.read_bytes())
    (folder / name).symlink_to("inside")
    run(folder, "--to", tmp_path / "given")
    assert (tmp_path / "given" / name).read_bytes() == secret.read_bytes()


def test_what_a_folder_says_of_itself_cannot_be(run: Run, tmp_path: Path) -> None:
    """A stranger's configuration is no reason for a traceback, and no text of a card of mine."""
    folder = Path(shutil.copytree(tiny_model(), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": {"x": [5]}}))
    said = {"task": "xnli", "type": "classification", "precision": "fp32", "architecture": "X", "head_file": "h"}
    head = {"kind": "pooled", "num_outputs": 2, "labels": ["a", "b"]}
    (folder / "xstilts.json").write_text(json.dumps({**said, "head": head, "labels": 5, "note": "<script>"}))
    run(folder, "--to", tmp_path / "given")
    assert "<script>" not in (tmp_path / "given" / "README.md").read_text()
    (folder / "xstilts.json").write_text(json.dumps({**said, "head": head, "type": "mood"}))
    _, error = run(folder, "--to", tmp_path / "other", expect=2)
    assert "xstilts.json: a head for 'mood'; known: classification, " in error


def test_a_hub_cache_keeps_its_files_in_links(run: Run, tmp_path: Path) -> None:
    cache = tmp_path / "models--a--b"
    blobs, folder = cache / "blobs", cache / "snapshots" / ("0" * 40)
    shutil.copytree(tiny_model(), blobs)
    folder.mkdir(parents=True)
    for path in blobs.iterdir():
        (folder / path.name).symlink_to(Path("..", "..", "blobs", path.name))
    run(folder, "--to", tmp_path / "given")
    assert (tmp_path / "given" / "model.safetensors").is_file()


def test_a_model_by_its_key_by_a_number_and_by_its_folder(run: Run, tmp_path: Path) -> None:
    store = made_store(tmp_path, languages=["en", "de"])
    key = training(store, "xnli")
    score = next(c["key"] for c in store.studies()["tiny"]["cells"] if c["arm"] == "mnli" and c["split"] == "test")
    out, _ = run(key[:10], "--store", store.root, "--to", tmp_path / "a")
    assert "licence `other`" in out and "files" in out
    out, _ = run(score, "--store", store.root, "--to", tmp_path / "b", "--json", "-")
    assert "README.md" in json.loads(out)["files"]
    run(store.path(key) / "model", "--to", tmp_path / "c")
    cards = [(tmp_path / name / "README.md").read_text().replace(f"# {name}\n", "") for name in "abc"]
    assert all(f"`{key}`" in card for card in cards)


def test_a_submission_and_what_it_lacks(run: Run, tmp_path: Path) -> None:
    store = made_store(tmp_path, languages=["en", "de"])
    asked = ("tiny", "--as", "xtreme", "--store", store.root, "--arm", "mnli", "--to", tmp_path / "sub")
    _, err = run(*asked, expect=2)
    assert "160 of 162 files are missing" in err and "Traceback" not in err
    out, _ = run(*asked, "--partial")
    assert "tiny, mnli, seed 1: xnli 2" in out and "missing: pawsx (all 7)" in out


@pytest.mark.parametrize(
    "options", [("--layer", 1), ("--pooling", "first"), ("--arm", "none"), ("--partial",), ("--seed", 1)]
)
def test_options_of_another_form_are_refused(run: Run, tmp_path: Path, options: tuple[object, ...]) -> None:
    _, err = run(tiny_model(), "--to", tmp_path / "out", *options, expect=2)
    assert f"{options[0]} says nothing of --as transformers" in err and not (tmp_path / "out").exists()
