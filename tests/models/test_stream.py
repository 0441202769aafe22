"""Streamed evaluation: plain transformers' numbers, every weight byte once, one place to go on from after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_models import PACKED, SHAPE, flat, make_batch, padded_inputs, tiny, write_folder, write_tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModel, MT5EncoderModel, T5EncoderModel

from xstilts.batching.batch import Batch
from xstilts.errors import ModelError
from xstilts.inference import stream as streaming
from xstilts.inference.activations import Kept
from xstilts.inference.stream import Room, StreamNeeds, stream
from xstilts.model_source import STREAMED_FAMILIES
from xstilts.models.families import FAMILIES
from xstilts.models.loading import load_encoder
from xstilts.models.skeleton import STREAMED_HALVES
from xstilts.models.streamed import StreamedEncoder

TEXT_TO_TEXT = {"mt5": MT5EncoderModel, "t5": T5EncoderModel}
SETS = ((7, 2, 19, 2, 11), (12, 13, 2, 30), (3,))
"""Lengths of three batches that together are the evaluation set."""


def write_text_to_text(folder: Path, family: str, **changes: Any) -> Path:
    """A tiny random text-to-text model, decoder and all."""
    sizes = {"vocab_size": 200, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 3, "num_heads": 4, **changes}
    sizes |= {
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16,
        "feed_forward_proj": "gated-gelu",
    }
    torch.manual_seed(7)
    model = AutoModel.from_config(AutoConfig.for_model(family, pad_token_id=0, decoder_start_token_id=0, **sizes))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    model.save_pretrained(folder)
    write_tokenizer(folder, "roberta")
    return folder


def batches_of(family: str) -> list[Batch]:
    return [make_batch(lengths, seed, read="some", types=family == "bert") for seed, lengths in enumerate(SETS)]


def reference(folder: Path, batch: Batch, family: str) -> list[Tensor]:
    """Hidden states of every layer by plain transformers on a padded batch."""
    cls = TEXT_TO_TEXT.get(family, AutoModel)
    model = cls.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        output = model(**padded_inputs(batch, 1, types=family == "bert"), output_hidden_states=True)
    return [flat(state, batch.lengths) for state in output.hidden_states]


def streamed(
    encoder: StreamedEncoder, batches: list[Batch], wanted: set[int], **options: Any
) -> dict[tuple[int, int], Tensor]:
    """(layer, batch) -> what was kept."""
    found: dict[tuple[int, int], Tensor] = {}

    def keep(layer: int, at: int, states: Tensor) -> None:
        assert (layer, at) not in found
        found[layer, at] = states.clone()

    stream(encoder, batches, keep, wanted=wanted, **options)
    return found


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def find(family: str) -> Path:
        if family not in TEXT_TO_TEXT:
            return tiny(family)
        if family not in made:
            made[family] = write_text_to_text(tmp_path_factory.mktemp("text-to-text") / family, family)
        return made[family]

    return find


@pytest.mark.parametrize("family", [*PACKED, *TEXT_TO_TEXT])
def test_every_layer_equals_plain_transformers(family: str, folder_of: Callable[[str], Path]) -> None:
    encoder, batches = StreamedEncoder(folder_of(family)), batches_of(family)
    found = streamed(encoder, batches, set(range(encoder.num_layers + 1)))
    for at, batch in enumerate(batches):
        for layer, expected in enumerate(reference(folder_of(family), batch, family)):
            torch.testing.assert_close(found[layer, at], expected, atol=1e-4, rtol=0, msg=f"layer {layer} batch {at}")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", PACKED)
def test_what_a_head_reads_is_what_the_encoder_in_memory_gives(family: str, precision: Any) -> None:
    encoder, batches = StreamedEncoder(tiny(family), precision), batches_of(family)
    whole = load_encoder(tiny(family), precision)
    found = streamed(encoder, batches, {encoder.num_layers}, read_only=True)
    for at, batch in enumerate(batches):
        with torch.inference_mode():
            expected = whole.read(batch)
        if precision == "fp32":  # the same operators on the same batches
            assert torch.equal(found[encoder.num_layers, at], expected)
        else:  # in memory GELU comes before rounding, here after it
            error = (found[encoder.num_layers, at] - expected).norm() / expected.norm()
            assert error < 0.02, error


@pytest.mark.parametrize("family", ["xlm-roberta-xl", "mt5"])
def test_every_byte_is_read_once_and_of_the_words_only_rows_that_occur(
    family: str, folder_of: Callable[[str], Path]
) -> None:
    encoder, batches = StreamedEncoder(folder_of(family)), batches_of(family)
    before = encoder.files.bytes_read  # of the final norm
    streamed(encoder, batches, {encoder.num_layers})
    streamed_bytes = encoder.files.bytes_read
    with safe_open(folder_of(family) / "model.safetensors", "pt") as weights:
        sizes = {
            name: weights.get_tensor(name).numel() * 4
            for name in weights.keys()  # noqa: SIM118
            if not name.startswith(("decoder.", "pooler."))
        }
    words = "shared.weight" if family == "mt5" else "embeddings.word_embeddings.weight"
    rows = len(torch.unique(torch.cat([batch.input_ids for batch in batches])))
    assert before < streamed_bytes == sum(sizes.values()) - sizes[words] + rows * 32 * 4


def test_layers_above_the_wanted_one_are_not_read(folder_of: Callable[[str], Path]) -> None:
    encoder, batches = StreamedEncoder(tiny("xlm-roberta")), batches_of("xlm-roberta")
    (expected, *_), read = zip(*(reference(tiny("xlm-roberta"), b, "xlm-roberta") for b in batches), strict=True), []
    for wanted in (0, 1, 2):
        before = encoder.files.bytes_read
        found = streamed(encoder, batches, {wanted})
        read.append(encoder.files.bytes_read - before)
        if wanted == 0:
            torch.testing.assert_close(found[0, 0], expected[0], atol=1e-5, rtol=0)
    assert read[2] - read[1] == read[1] - read[0] == encoder.layer_bytes


@pytest.mark.parametrize("family", ["bert", "mt5"])
def test_shards_bfloat16_files_and_prefixed_names_are_read(family: str, tmp_path: Path) -> None:
    if family == "mt5":
        write_text_to_text(tmp_path / "whole", family)
        model: Any = AutoModel.from_pretrained(tmp_path / "whole", dtype=torch.bfloat16)
    else:
        from transformers import AutoModelForSequenceClassification

        write_folder(tmp_path / "whole", family)
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole", dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) >= 3
    encoder, batches = StreamedEncoder(tmp_path / "shards"), batches_of(family)
    found = streamed(encoder, batches, {encoder.num_layers})
    cls = TEXT_TO_TEXT.get(family, AutoModel)
    plain = cls.from_pretrained(tmp_path / "shards", attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        for at, batch in enumerate(batches):
            expected = plain(**padded_inputs(batch, 1, types=family == "bert")).last_hidden_state
            expected = flat(expected, batch.lengths)
            torch.testing.assert_close(found[encoder.num_layers, at], expected, atol=1e-4, rtol=0)


def test_bfloat16_layers_take_half_the_memory() -> None:
    whole, half = (StreamedEncoder(tiny("xlm-roberta"), precision) for precision in ("fp32", "bf16"))
    matrices = sum(w.numel() for n, w in whole.transformer.encoder.layer[0].state_dict().items() if w.ndim > 1)
    assert whole.layer_bytes - half.layer_bytes == 2 * matrices


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("at_layer", [1, 2, 3])
def test_a_killed_evaluation_goes_on_behind_the_last_finished_layer(
    place: str, at_layer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "model", "xlm-roberta-xl", num_hidden_layers=3)
    batches = batches_of("xlm-roberta-xl")
    if place == "disk":
        only_disk(monkeypatch, StreamedEncoder(folder), batches)
    expected = streamed(StreamedEncoder(folder), batches, {3}, room=Room(tmp_path / "other"))
    encoder, room = StreamedEncoder(folder), Room(tmp_path / "states", every_seconds=0)

    def killed(done: float, *_: object) -> None:
        if done > at_layer - 0.5:  # in the middle of a layer
            raise _KilledError

    with pytest.raises(_KilledError):
        streamed(encoder, batches, {3}, room=room, progress=killed)
    (kept,) = (tmp_path / "states").iterdir()
    assert (kept / f"layer-{at_layer - 1:03d}").is_file()
    again = StreamedEncoder(folder)
    before = again.files.bytes_read
    found = streamed(again, batches, {3}, room=room)
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)
    assert again.files.bytes_read - before == (3 - (at_layer - 1)) * again.layer_bytes
    assert list((tmp_path / "states").iterdir()) == []


def only_disk(monkeypatch: pytest.MonkeyPatch, encoder: StreamedEncoder, batches: list[Batch]) -> None:
    """Memory for the layers and a byte too little for the states."""
    ids, tokens = np.unique(torch.cat([b.input_ids for b in batches])), sum(b.num_tokens for b in batches)
    largest, longest = max(b.num_tokens for b in batches), max(max(b.lengths) for b in batches)
    needs = StreamNeeds.of(encoder, len(ids), tokens, largest, longest)
    there = needs.without_states + needs.states - 1
    monkeypatch.setattr(streaming, "free_bytes", lambda _: there)


def test_other_rows_do_not_go_on_from_these(tmp_path: Path) -> None:
    folder, room = write_folder(tmp_path / "model", "roberta"), Room(tmp_path / "states", every_seconds=0)

    def killed(done: float, *_: object) -> None:
        if done > 1.2:
            raise _KilledError

    first, second = batches_of("roberta"), [make_batch((7, 2, 19, 2, 11), 9)]
    with pytest.raises(_KilledError):
        streamed(StreamedEncoder(folder), first, {2}, room=room, progress=killed)
    found = streamed(StreamedEncoder(folder), second, {2}, room=room)
    torch.testing.assert_close(found[2, 0], reference(folder, second[0], "roberta")[-1], atol=1e-4, rtol=0)


def test_states_half_written_are_not_taken_for_whole(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "states", 100)
    (tmp_path / "states" / "layer-002").write_bytes(b"x" * 100)
    (tmp_path / "states" / "layer-003").write_bytes(b"x" * 99)
    (tmp_path / "states" / "part").write_bytes(b"x" * 100)
    assert kept.newest() == 2
    assert [path.name for path in (tmp_path / "states").iterdir()] == ["layer-002"]


def test_states_that_fit_nowhere_are_refused_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, batches = StreamedEncoder(tiny("roberta")), batches_of("roberta")
    only_disk(monkeypatch, encoder, batches)
    read = encoder.files.bytes_read
    with pytest.raises(ModelError, match=r"101 sub-words.*no folder was given"):
        streamed(encoder, batches, {2})
    full = type("Usage", (), {"free": 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(ModelError, match=r"on a disk they need .* where 0\.00 GiB are free"):
        streamed(encoder, batches, {2}, room=Room(tmp_path))
    monkeypatch.setattr(streaming, "free_bytes", lambda _: 1000)
    with pytest.raises(ModelError, match="for two layers and a batch"):
        streamed(encoder, batches, {2})
    assert encoder.files.bytes_read == read


def test_the_families_named_without_torch_are_those_that_are_streamed() -> None:
    assert set(STREAMED_FAMILIES) == {*FAMILIES, *STREAMED_HALVES}


def test_a_family_that_is_not_streamed_is_named() -> None:
    with pytest.raises(ModelError, match=r"models of type 'electra' are not streamed"):
        StreamedEncoder(tiny("electra"))


def test_weights_that_are_missing_or_of_another_shape_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "xlm-roberta")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"16 of the encoder's weights are missing, such as encoder\.layer\.2"):
        StreamedEncoder(folder)
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": SHAPE["intermediate_size"] * 2}))
    with pytest.raises(ModelError, match=r"has shape .*48.*config\.json says .*96"):
        StreamedEncoder(folder)


def test_a_sub_word_without_a_row_is_an_error() -> None:
    batch = make_batch((4,))
    batch.input_ids[2] = 5000
    with pytest.raises(ModelError, match="sub-word 5000, but the encoder knows 200"):
        streamed(StreamedEncoder(tiny("roberta")), [batch], {1})


def test_progress_counts_layers() -> None:
    told: list[tuple[float, float, str]] = []
    batches = batches_of("roberta")
    streamed(StreamedEncoder(tiny("roberta")), batches, {2}, progress=lambda *now: told.append(now))
    assert [now[0] for now in told] == pytest.approx(np.arange(1, 7) / 3)
    assert {now[1:] for now in told} == {(2, "layers")}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", ["xlm-roberta-xl", "mt5"])
def test_a_gpu_gives_what_the_cpu_gives(family: str, folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    folder, batches = folder_of(family), batches_of(family)
    expected = streamed(StreamedEncoder(folder), batches, {2}, read_only=True)
    there = [
        Batch(b.input_ids.cuda(), b.type_ids.cuda(), b.lengths, b.read.cuda(), b.read_counts, b.sequences)
        for b in batches
    ]
    found = streamed(StreamedEncoder(folder, "fp32", "cuda"), there, {2}, read_only=True, room=Room(tmp_path, 0))
    for key, states in expected.items():
        torch.testing.assert_close(found[key].cpu(), states, atol=1e-3, rtol=1e-3)
