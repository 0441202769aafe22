"""Models are found by folder, identified by content, and refused with words that help."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tiny_world import fake_model
from xstilts.errors import ModelError
from xstilts.graph.disk import digest_file
from xstilts.hub.ledger import Ledger
from xstilts.model_choice import ModelChoice
from xstilts.model_source import TOKENIZER_FILES, ModelSource, find_model


def found(folder: Path, name: str = "m") -> ModelSource:
    return find_model(name, ModelChoice(path=str(folder)), digest_file)


def test_what_is_known_of_a_folder(tmp_path: Path) -> None:
    model = found(fake_model(tmp_path / "a", layers=24))
    assert (model.family, model.num_layers, model.folder) == ("xlm-roberta", 24, (tmp_path / "a").resolve())


def test_identity_is_content_and_not_place(tmp_path: Path) -> None:
    first = found(fake_model(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "README.md").write_text("notes")
    assert found(tmp_path / "elsewhere", "other").identity == first.identity


@pytest.mark.parametrize("change", [{"weights": b"others"}, {"tokenizer": "{} "}, {"layers": 3}])
def test_weights_tokenizer_and_configuration_are_identity(tmp_path: Path, change: dict[str, object]) -> None:
    first = found(fake_model(tmp_path / "a"))
    assert found(fake_model(tmp_path / "b", **change)).identity != first.identity  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TOKENIZER_FILES)
def test_every_file_that_decides_how_words_are_cut_is_identity(tmp_path: Path, name: str) -> None:
    folder = fake_model(tmp_path / "a")
    seen = {found(folder).identity}
    for content in (b'{"one": 1}', b'{"other": 1}'):
        (folder / name).write_bytes(content)
        seen.add(found(folder).identity)
    assert len(seen) == 3


def test_what_tokenizers_are_read_from_is_on_the_list() -> None:
    read = {"merges.txt", "spiece.model", "added_tokens.json", "special_tokens_map.json", "sentencepiece.bpe.model"}
    assert read | {"tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt"} <= set(TOKENIZER_FILES)


def test_the_hub_is_asked_for_all_that_is_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(fake_model(tmp_path))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    find_model("m", ModelChoice(id="some/model", revision="abc"), digest_file)
    assert {"config.json", "*.safetensors", *TOKENIZER_FILES} <= set(asked)


def test_a_model_of_the_hub_says_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = "0123456789abcdef0123456789abcdef01234567"
    asked = []

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append(revision)
        return str(fake_model(tmp_path / "snapshots" / sha))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    choice = ModelChoice(id="some/model")
    assert find_model("m", choice, digest_file).revision == sha
    assert found(tmp_path / "snapshots" / sha).revision == "", "a folder is no commit, whatever its name"
    find_model("m", Ledger(models={"some/model@main": sha}).pinned(choice), digest_file)
    assert asked == [None, sha]


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)models\.m: no config\.json.*--model m=FOLDER"):
        found(tmp_path)


def test_pickled_weights_are_named_and_refused(tmp_path: Path) -> None:
    fake_model(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"(?s)only pytorch_model\.bin.*can run code"):
        found(tmp_path)


@pytest.mark.parametrize("content", ['{"model_type": "bert"', json.dumps({"model_type": "bert"})])
def test_a_damaged_configuration(tmp_path: Path, content: str) -> None:
    (fake_model(tmp_path) / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        found(tmp_path)


def test_a_hub_model_that_is_not_there_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"(?s)models\.m: cannot get 'no/such'.*--model m=FOLDER"):
        find_model("m", ModelChoice(id="no/such", revision="abc"), digest_file)
