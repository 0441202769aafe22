"""What cannot be loaded is refused with its reason; what can, is loaded quietly and without touching global state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_batch, tiny, write_folder
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from xstilts.errors import ModelError
from xstilts.memory.check import model_in
from xstilts.model_choice import ModelChoice
from xstilts.model_source import find_model
from xstilts.models.loading import load_encoder, load_tokenizer
from xstilts.models.skeleton import streams_family


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", "xlm-roberta")


def change_weights(folder: Path, *, drop: str = "", reshape: str = "") -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not (drop and name.startswith(drop))}
    if reshape:
        kept[reshape] = torch.zeros(3, 3)
    assert kept.keys() != weights.keys() or reshape
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def test_pickled_weights_are_refused_with_the_command_that_converts_them(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin") as refused:
        load_encoder(folder)
    assert "save_pretrained" in refused.value.hint and str(folder) in refused.value.hint


def test_pickled_weights_beside_safetensors_are_not_read(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    load_encoder(folder)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_encoder(tmp_path / "nowhere")


def test_a_damaged_config_is_refused(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("{", "[", 1))
    with pytest.raises(ModelError, match=r"config\.json is damaged"):
        load_encoder(folder)
    (folder / "config.json").write_text(text.replace("xlm-roberta", "xlm-rouerta"))
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        load_encoder(folder)


@pytest.mark.parametrize(("field", "value"), [("hidden_size", 64), ("vocab_size", 201), ("num_hidden_layers", 3)])
def test_a_config_of_another_size_is_refused(folder: Path, field: str, value: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, field: value}))
    with pytest.raises(ModelError, match="weights"):
        load_encoder(folder)


def test_a_flipped_byte_in_the_header_of_the_weights_is_refused(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[9] ^= 0xFF
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="weights cannot be loaded"):
        load_encoder(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="weights cannot be loaded"):
        load_encoder(folder)


@pytest.mark.parametrize("drop", ["encoder.layer.1.attention.self.query", "embeddings.LayerNorm"])
def test_missing_encoder_weights_are_refused_by_name(folder: Path, drop: str) -> None:
    change_weights(folder, drop=drop)
    with pytest.raises(ModelError, match=f"2 of the encoder's weights are missing, such as {drop}"):
        load_encoder(folder)


def test_a_missing_pooler_is_no_loss(folder: Path) -> None:
    whole = load_encoder(folder)
    change_weights(folder, drop="pooler")
    assert torch.equal(load_encoder(folder)(make_batch((4, 5))), whole(make_batch((4, 5))))
    assert not any("pooler" in name for name, _ in whole.named_parameters())


def test_half_precision_files_become_float32(folder: Path) -> None:
    weights = {name: weight.bfloat16() for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert {weight.dtype for weight in load_encoder(folder).parameters()} == {torch.float32}


def test_text_to_text_models_without_a_known_encoder_half_are_refused(tmp_path: Path) -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 50, "max_position_embeddings": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    config = AutoConfig.for_model("bart", **sizes, **heads)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="text-to-text"):
        load_encoder(tmp_path)


def test_remote_code_is_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    config = json.loads((folder / "config.json").read_text())
    code = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    for family in ("unheard-of", config["model_type"]):  # also where transformers would pass it over and load something
        (folder / "config.json").write_text(json.dumps({**config, **code, "model_type": family}))
        assert not streams_family(folder)
        for read in (load_encoder, model_in, lambda f: find_model("m", ModelChoice(path=str(f)), str)):
            with pytest.raises(ModelError, match=r"run Python code of its own .*'evil\.Config'") as caught:
                read(folder)
            assert caught.value.where == str(folder / "config.json")
    (folder / "config.json").write_text(json.dumps(config))
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "auto_map": {"AutoTokenizer": ["evil.T", None]}}))
    with pytest.raises(ModelError, match=r"run Python code of its own"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("field", "least"),
    [("num_hidden_layers", 0), ("hidden_size", 1), ("vocab_size", 1), ("intermediate_size", 1)],
)
@pytest.mark.parametrize("value", [10**9, "one too few", -7, 1.5, "12", True])
def test_sizes_that_no_model_has_are_refused_before_anything_is_made(
    folder: Path, field: str, least: int, value: object
) -> None:
    config = json.loads((folder / "config.json").read_text())
    value = least - 1 if value == "one too few" else value  # an export of layer 0 has no layers
    (folder / "config.json").write_text(json.dumps({**config, field: value}))
    with pytest.raises(ModelError, match=f"{field} is {value!r}; needed: a whole number from {least} to"):
        load_encoder(folder)


def test_a_tokenizer_larger_than_any_is_not_read(folder: Path) -> None:
    with (folder / "tokenizer.json").open("ab") as file:
        file.truncate(2**30)
    with pytest.raises(ModelError, match="more than 268,435,456 bytes") as caught:
        load_tokenizer(folder)
    assert caught.value.where == str(folder / "tokenizer.json")


def test_a_dropout_the_family_does_not_have_is_refused() -> None:
    assert load_encoder(tiny("modernbert"), attention_dropout=0.2).config.attention_dropout == 0.2
    with pytest.raises(ModelError, match=r"dropout 0\.2 was asked for, but the config has none of hidden_dropout_prob"):
        load_encoder(tiny("modernbert"), dropout=0.2)


def test_loading_is_silent_and_leaves_logging_as_it_was(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    load_encoder(folder)
    load_tokenizer(folder)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        load_tokenizer(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="tokenizer cannot be loaded"):
        load_tokenizer(folder)


def test_tokenizer_knows_its_special_ids() -> None:
    tokenizer = load_tokenizer(tiny("xlm-roberta"))
    assert (tokenizer.unknown_id, tokenizer.mask_id) == (3, 199)
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids) == ([0], [2])
    assert load_tokenizer(tiny("bert")).encode([("a b", "c")])[0].type_ids == [0, 0, 0, 0, 1, 1]


def test_a_copy_of_the_folder_loads_to_the_same_encoder(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    batch = make_batch((4, 5))
    assert torch.equal(load_encoder(tmp_path / "copy")(batch), load_encoder(folder)(batch))


def test_a_tokenizer_that_panics_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # as pyo3 calls it; it is no Exception there either
        pass

    def panic(*_: object, **__: object) -> None:
        raise PanicException("no entry found for key")

    monkeypatch.setattr("xstilts.models.loading.Tokenizer", panic)
    with pytest.raises(ModelError, match="the tokenizer cannot be loaded: no entry found for key"):
        load_tokenizer(folder)
