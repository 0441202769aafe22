"""The traps of packed execution, each with its test. How far packed and padded differ: ``test_packing_figures``.

| trap | tests, here and elsewhere |
|---|---|
| plain SDPA on a packed row attends across sequences | ``test_plain_attention..``, encoder ``..attention_was_changed..`` |
| a padded batch under the packed name loses its mask | encoder ``test_a_padded_batch_under_the_packed_name_refuses`` |
| a switch between the executions that can be forgotten | ``..is_no_option``, encoder ``test_execution_says_which_and_why`` |
| task heads of transformers take the row's first token | ``test_heads_read_the_first_token_of_every_sequence`` |
| positions that count over the whole row | ``test_positions_begin_anew``, encoder ``test_a_padding_id_inside..`` |
| results that depend on batch mates | ``test_logits_alone_and_in_company``, encoder ``..does_not_depend_on_its_batch..`` |
| results that depend on the order of evaluation | ``test_outputs_do_not_depend_on_order_or_batches`` |
| windows of one text that see each other | ``test_windows_are_read_as_plain_transformers_reads_them`` |
| batches of like length bias training | ``test_steps_are_drawn_without_looking_at_lengths`` |
| weights in pure bf16 while training | ``test_a_bf16_step_keeps..``, loading ``test_half_precision_files..`` |
| row-wise Adam: rows nobody read neither decay nor clip | ``..not_read_decay``, figures ``test_one_step..`` (it clips) |
| a vocabulary matrix larger than the tokenizer | ``test_rows_above_the_tokenizer_change_nothing`` |
| logits of tokens nobody reads | model ``test_logits_read_only_the_positions_asked_for`` |
| attention dropout | encoder ``test_attention_dropout..`` |
| fused AdamW is another update | training ``test_the_fused_update_equals_the_plain_loop`` |
"""

from __future__ import annotations

import inspect
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import PACKED, make_batch, padded_inputs, tiny, write_folder
from tiny_tasks import ENCODING, FAMILIES, RAGGED, STEP, TYPES, examples, head_of, largest, theirs
from torch import Tensor
from transformers import AutoModel

from xstilts.batching import gather, inference_batches
from xstilts.errors import ModelError
from xstilts.inference.predict import predict, predict_logits
from xstilts.models.encoder import Encoder
from xstilts.models.export import export
from xstilts.models.families import FAMILIES as VERIFIED
from xstilts.models.loading import load_encoder
from xstilts.models.model import Model
from xstilts.task_types import Span
from xstilts.training import TaskCourse, train


def test_plain_attention_on_a_packed_row_is_wrong_and_refused() -> None:
    """Plain SDPA takes the row without a word and is far off; our encoder does not run it."""
    batch, encoder = make_batch((5, 9)), load_encoder(tiny("xlm-roberta"))
    plain = AutoModel.from_pretrained(tiny("xlm-roberta"), attn_implementation="sdpa").eval()
    positions = torch.cat([torch.arange(n) + 2 for n in batch.lengths])
    with torch.no_grad():
        across = plain(input_ids=batch.input_ids[None], position_ids=positions[None]).last_hidden_state[0]
        assert largest(across, encoder(batch)) > 0.1
    with pytest.raises(ModelError, match="sequences would see each other"):
        Encoder(plain)(batch)


def test_the_execution_is_no_option() -> None:
    """Nothing that loads or calls an encoder takes an attention or an execution: there is no switch to forget."""
    named = {
        name for call in (load_encoder, Model.start, Model.load, Encoder.__init__, Encoder.forward, Encoder.layers)
        for name in inspect.signature(call).parameters
    }  # fmt: skip
    assert not [name for name in named if "attn" in name or "execution" in name or "pack" in name]


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_read_the_first_token_of_every_sequence(tmp_path: Path, family: str) -> None:
    """Their head on our row would give one row of logits, the first sequence's; ours gives each sequence its own."""
    head, lengths = head_of("classification"), (7, 2, 19, 2)
    model, batch = Model.start(tiny(family), head, seed=5), make_batch(lengths)
    export(model, tmp_path, "task", "classification", head.labels)
    plain = theirs(tmp_path, "classification").eval()
    with torch.no_grad():
        row = plain(input_ids=batch.input_ids[None]).logits
        ours, hidden = model.logits(batch), model.hidden(batch)
    assert len(row) == 1 and ours.shape == (len(lengths), 3)
    offsets = np.cumsum(lengths) - np.asarray(lengths)
    assert batch.read.tolist() == offsets.tolist()
    assert model.head is not None
    torch.testing.assert_close(ours, model.head(hidden[torch.from_numpy(offsets)]))
    assert all(largest(a, b) > 1e-3 for a, b in itertools.pairwise(ours)), "no two sequences share a first token"


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_begin_anew(family: str) -> None:
    """0, 1, 2 ... for BERT, 2, 3, 4 ... for XLM-R (after its padding id 1), in every sequence of the row."""
    encoder, lengths = load_encoder(tiny(family)), (4, 2, 6)
    seen: list[Tensor] = []
    encoder.transformer.embeddings.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["position_ids"]), with_kwargs=True
    )
    encoder(make_batch(lengths))
    first = 0 if family == "bert" else 2
    assert seen[0].tolist() == [[first + i for n in sorted(lengths) for i in range(n)]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", TYPES)
def test_logits_alone_and_in_company(family: str, shape: str) -> None:
    model = Model.start(tiny(family), head_of(shape), seed=5)
    features = TYPES[shape].encode(examples(shape), model.tokenizer, ENCODING)
    together = predict_logits(model, features, micro_batch_tokens=10**6)
    alone = predict_logits(model, features, micro_batch_tokens=1)
    assert len(inference_batches(features, 1)) == features.num_sequences
    assert np.abs(together - alone).max() < 1e-5


@pytest.mark.parametrize("family", [*FAMILIES, "electra"])
@pytest.mark.parametrize("shape", TYPES)
def test_outputs_do_not_depend_on_order_or_batches(family: str, shape: str) -> None:
    model, rows = Model.start(tiny(family), head_of(shape), seed=5), examples(shape)
    if shape == "span":
        rows = [replace(row, answers=None) for row in rows]
    shuffled = [rows[i] for i in np.random.default_rng(2).permutation(len(rows))]
    found = []
    for some, budget in ((rows, 4096), (shuffled, 4096), (rows[::-1], 64)):
        outputs, _ = predict(model, TYPES[shape], some, ENCODING, micro_batch_tokens=budget)
        found.append({output["id"]: output for output in outputs})
    for other in found[1:]:
        for name, output in found[0].items():
            for key, value in output.items():
                near = key in ("scores", "score", "null_score")
                assert other[name][key] == (pytest.approx(value, abs=3e-5) if near else value)


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_are_read_as_plain_transformers_reads_them(tmp_path: Path, family: str) -> None:
    model, rows = Model.start(tiny(family), head_of("span"), seed=5), examples("span", 4, seed=3)
    export(model, tmp_path, "task", "span")
    features = Span().encode(rows, model.tokenizer, ENCODING)
    assert features.num_sequences > 2 * len(rows)
    ours = predict_logits(model, features, micro_batch_tokens=4096)
    plain = theirs(tmp_path, "span").eval()
    for window in range(features.num_sequences):
        batch = gather(features, np.array([window]), torch.device("cpu"))
        with torch.no_grad():
            output = plain(**padded_inputs(batch, 1, types=family == "bert"))
        expected = torch.stack([output.start_logits, output.end_logits], -1)[0][batch.read].numpy()
        here = slice(features.read_offsets[window], features.read_offsets[window + 1])
        np.testing.assert_allclose(ours[here], expected, atol=1e-4)


def test_steps_are_drawn_without_looking_at_lengths() -> None:
    """The same rows meet in a step whatever their lengths are."""
    tokenizer = Model.start(tiny("bert"), None).tokenizer
    drawn = []
    for seed in (0, 1):  # other texts, other lengths
        features = TYPES["tagging"].encode(examples("tagging", 40, seed=seed), tokenizer, ENCODING)
        course = TaskCourse(
            TYPES["tagging"], features, STEP.model_copy(update={"batch_size": 8, "max_steps": 10}), seed=3
        )
        drawn.append([course.sequences(step).tolist() for step in range(course.total)])
    assert drawn[0] == drawn[1]


def test_a_bf16_step_keeps_float32_weights_and_states(tmp_path: Path) -> None:
    head, seen = head_of("classification"), []
    model = Model.start(tiny("xlm-roberta"), head, 5, dropout=0.0, attention_dropout=0.0, precision="bf16")
    features = TYPES["classification"].encode(examples("classification"), model.tokenizer, ENCODING)
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: seen.append(gradient.dtype))  # type: ignore[no-untyped-call]
    course = TaskCourse(TYPES["classification"], features, STEP, seed=1)
    train(model, course, micro_batch_tokens=4096, dev=None, progress=lambda *_, **__: None, log=tmp_path / "log")
    assert set(seen) == {torch.float32}
    assert {weight.dtype for weight in model.state_dict().values()} <= {torch.float32, torch.int64}


def test_embedding_rows_that_were_not_read_decay(tmp_path: Path) -> None:
    """Dense AdamW: a row without gradient shrinks by learning rate x weight decay; row-wise Adam would leave it."""
    model = Model.start(tiny("xlm-roberta"), head_of("classification"), 5, dropout=0.0, attention_dropout=0.0)
    features = TYPES["classification"].encode(examples("classification"), model.tokenizer, ENCODING)
    unused = np.setdiff1d(np.arange(2, 200), features.input_ids)
    matrix = model.encoder.transformer.get_input_embeddings().weight
    before = matrix.detach().clone()
    course = TaskCourse(TYPES["classification"], features, STEP.model_copy(update={"weight_decay": 0.1}), seed=1)
    train(model, course, micro_batch_tokens=4096, dev=None, progress=lambda *_, **__: None, log=tmp_path / "log")
    assert len(unused) > 50
    torch.testing.assert_close(matrix.detach()[unused], before[unused] * (1 - 1e-3 * 0.1), atol=1e-7, rtol=0)


def test_rows_above_the_tokenizer_change_nothing(tmp_path: Path) -> None:
    """multilingual-e5-small has 250,037 rows for 250,002 sub-words: rows nobody can read are no matter."""
    folder = write_folder(tmp_path / "m", "xlm-roberta")
    weights = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    weights[name] = torch.cat([weights[name], torch.full((35, 32), 1e6)])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"vocab_size": 200', '"vocab_size": 235'))
    batch = make_batch(RAGGED)
    with torch.no_grad():
        assert torch.equal(load_encoder(folder)(batch), load_encoder(tiny("xlm-roberta"))(batch))


def test_the_verified_families_are_those_that_are_tested_and_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `bert`"))
    assert set(re.findall(r"`([a-z-]+)`", row)) == set(VERIFIED) == set(PACKED)
