"""What is counted: weights, gradients, moments, activations; and that each way of running a model changes what it must."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xstilts.hyperparameters import Lora
from xstilts.memory.dimensions import Dimensions, dimensions
from xstilts.memory.estimate import (
    ADAPTERS,
    CUT,
    FLOAT,
    HOLES,
    How,
    Work,
    in_heap,
    inference,
    lora_parameters,
    training,
)
from xstilts.memory.need import GAPS, GIB, WIDENED, Need
from xstilts.shapes import parameters, shape_config

XXL = dimensions(shape_config("xlm-r-xxl"))
BASE = dimensions(shape_config("xlm-r-base"))
STEP = Work(longest=128, step_tokens=3 * 4096, reads=1 / 128, outputs=3)
CARD = How("cuda", "bf16")


def test_dimensions_are_those_of_the_shape() -> None:
    assert XXL.parameters == parameters(shape_config("xlm-r-xxl"))
    assert XXL.every_layer + XXL.embedding + 514 * 4096 + 4096 + 2 * 4096 == XXL.parameters
    t5 = dimensions(shape_config("mt5-xxl"))
    assert (t5.layers, t5.decoder_layers, t5.gated) == (24, 24, True)
    assert abs(t5.every_layer / (t5.parameters - 2 * t5.embedding) - 1) < 1e-4


@pytest.mark.parametrize(("name", "printed_gib"), [("xlm-r-xl", 52), ("xlm-r-xxl", 159)])
def test_full_training_takes_sixteen_bytes_a_parameter(name: str, printed_gib: float) -> None:
    """FACTS 6.1: 52 GiB (XL) and 159 GiB (XXL) before activations."""
    of = dimensions(shape_config(name))
    parts = training(of, replace(STEP, pooled=False, outputs=of.vocabulary), How("cuda", "fp32")).parts
    assert abs(sum(parts[n] for n in ("weights", "gradients", "optimizer")) / GIB - printed_gib) < 0.5


def test_rows_that_no_text_meets_have_no_gradient_and_no_moments() -> None:
    some, whole = (training(BASE, replace(STEP, trained_rows=rows), How()) for rows in (10_000, None))
    rest = (BASE.vocabulary - 10_000) * BASE.hidden
    assert whole.parts["gradients"] - some.parts["gradients"] == FLOAT * rest
    assert whole.parts["optimizer"] - some.parts["optimizer"] == 2 * FLOAT * rest
    assert some.mapped == FLOAT * BASE.embedding
    assert whole.mapped == 0


def test_checkpointing_leaves_one_layer_and_the_inputs_of_the_others() -> None:
    kept, again = (training(BASE, STEP, How(checkpointing=on)).parts["activations"] for on in (False, True))
    assert again < kept / 4
    assert again > FLOAT * 4096 * BASE.hidden * BASE.layers


def test_a_step_in_one_part_gives_up_activations_as_gradients_come() -> None:
    whole = training(BASE, replace(STEP, step_tokens=4096), How()).moments
    parted = training(BASE, STEP, How())
    assert parted.fullest == "backward"
    assert whole["backward"]["activations"] == parted.parts["activations"]
    assert "gradients" not in whole["backward"]
    assert whole["update"]["gradients"] == parted.parts["gradients"]


def test_adapters_have_gradients_and_the_model_has_none() -> None:
    thin = training(XXL, STEP, replace(CARD, lora=ADAPTERS)).parts
    head = XXL.hidden**2 + 3 * XXL.hidden
    assert thin["gradients"] == FLOAT * (lora_parameters(XXL, ADAPTERS) + head)
    assert lora_parameters(XXL, ADAPTERS) == 48 * 16 * 2 * 2 * 4096
    assert lora_parameters(XXL, Lora(rank=4, targets=("key", "output"))) == 48 * 4 * (2 * 4096 + 4096 + 16_384)
    assert thin["weights"] > FLOAT * XXL.parameters


def test_shards_share_weights_gradients_and_moments() -> None:
    one, four = (training(XXL, STEP, replace(CARD, shards=n)) for n in (1, 4))
    assert four.parts["gradients"] == one.parts["gradients"] // 4
    assert four.parts["optimizer"] == one.parts["optimizer"] // 4
    assert four.parts["activations"] == one.parts["activations"]  # every process has its own micro-batches
    assert (
        four.parts["weights"] > one.parts["weights"] // 4 - 2 * XXL.every_layer // 4
    )  # one layer and the embeddings whole


def test_small_moments_take_a_quarter() -> None:
    whole, small = (training(XXL, STEP, replace(CARD, small_moments=on)).parts["optimizer"] for on in (False, True))
    assert small == whole // 4


def test_the_best_weights_are_copied_on_the_host() -> None:
    on_cpu = training(BASE, replace(STEP, keeps_best=True), How())
    assert on_cpu.parts["best weights"] == on_cpu.parts["gradients"]
    on_card = training(BASE, replace(STEP, keeps_best=True), CARD)
    assert "best weights" not in on_card.parts
    assert on_card.host_bytes > on_cpu.parts["best weights"]


def test_masked_lm_compares_with_the_whole_vocabulary() -> None:
    text = Work(longest=128, step_tokens=4 * 4096, reads=0.15, outputs=BASE.vocabulary)
    assert training(BASE, text, How()).parts["logits"] == 3 * FLOAT * int(4096 * 0.15) * BASE.vocabulary


def test_answers_use_the_weights_where_they_lie() -> None:
    found = inference(BASE, Work(longest=128), How())
    assert found.parts["weights"] == 0
    assert found.mapped >= FLOAT * BASE.parameters
    other = inference(BASE, Work(longest=128, converted=True), How())
    assert (other.parts["weights"], other.mapped) == (found.mapped, 0)
    assert inference(BASE, Work(longest=128), How(precision="bf16")).parts["weights"] == 2 * BASE.every_layer


def test_streaming_holds_two_layers() -> None:
    asked = Work(longest=128, streamed_tokens=1000, trained_rows=200)
    held = inference(XXL, asked, How(streaming=True))
    assert held.parts["weights"] == 2 * FLOAT * XXL.layer_parameters
    assert held.parts["hidden states"] == FLOAT * 1000 * XXL.hidden
    assert held.moments["embed"]["embeddings"] == FLOAT * 200 * XXL.hidden
    assert held.mapped == 0
    half, stored = (
        inference(XXL, replace(asked, converted=on), How(precision="bf16", streaming=True)) for on in (False, True)
    )
    assert half.parts["weights"] == FLOAT * XXL.layer_parameters
    assert stored.parts["weights"] - half.parts["weights"] == 2 * XXL.hidden * XXL.inner


def test_the_encoder_half_is_without_decoder_and_output_matrix() -> None:
    whole = dimensions(shape_config("mt5-xxl"))
    half = whole.encoder_half
    assert whole.parameters - half.parameters - whole.embedding == pytest.approx(
        whole.decoder_layers * whole.decoder_layer_parameters, rel=1e-5
    )
    assert XXL.encoder_half is XXL


def test_a_micro_batch_holds_at_least_what_cannot_be_parted() -> None:
    choices = Work(longest=128, step_tokens=10_000, unit_tokens=5 * 128)
    assert (choices.tokens(256), choices.tokens(4096), choices.tokens(100_000)) == (640, 4096, 10_000)


def test_the_fullest_moment_is_told() -> None:
    need = Need({"a": {"x": 1, "y": 2}, "b": {"x": 4}})
    assert (need.fullest, need.bytes, need.parts) == ("b", 4, {"x": 4})


def test_a_family_without_arithmetic_is_counted_by_headers(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((30, 8), np.float32), "b": np.zeros(60, np.float32)}, tmp_path / "model.safetensors")
    config = {"model_type": "modernbert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    found = dimensions({**config, "intermediate_size": 16, "vocab_size": 30}, tmp_path)
    assert isinstance(found, Dimensions)
    assert (found.parameters, found.layer_parameters) == (300, 30)


def test_the_matrix_becomes_the_process_s_own_at_the_end_and_counts_once() -> None:
    work = replace(STEP, step_tokens=4096, trained_rows=10_000)
    found = training(BASE, work, How(tokens=1024))
    end = found.moments["hand over"]
    assert end[WIDENED] == found.mapped == FLOAT * BASE.embedding
    assert found.resident == max(sum(end.values()), sum(found.moments["backward"].values()) + found.mapped)
    assert "hand over" not in training(BASE, replace(work, decays=False), How(tokens=1024)).moments
    answers = inference(BASE, Work(longest=128), How())
    assert answers.resident == answers.bytes + answers.mapped


def test_small_tensors_leave_gaps_and_large_ones_do_not() -> None:
    one, parted = (training(BASE, replace(STEP, step_tokens=n * 1024), How(tokens=1024)) for n in (1, 2))
    assert in_heap(BASE, STEP, How(), 1024) == 1
    left = one.moments["backward"]["activations"]
    assert one.moments["backward"][GAPS] == int((HOLES + CUT) * left)
    assert parted.moments["backward"][GAPS] == int((HOLES + 2 * CUT) * left)
    # 4,096 tokens of the wide product take 48 MiB each, of the others at most 24.
    narrow, wide = 10 * 12 + 2 * 24, 2 * 48
    assert in_heap(BASE, STEP, How(), 4096) == pytest.approx(narrow / (narrow + wide))
    assert in_heap(XXL, STEP, How(), 4096) == 0
    assert GAPS not in training(BASE, STEP, CARD).parts


def test_a_small_model_is_at_its_fullest_while_its_tokenizer_is_loaded() -> None:
    words = Work(longest=128, tokenizer_bytes=9_598_440)
    found = inference(BASE, words, How(tokens=512))
    assert found.fullest == "load"
    assert inference(BASE, words, How()).fullest == "answer"
    assert inference(BASE, replace(words, converted=True), How(tokens=512)).parts["weights"] == found.mapped


def test_a_weight_is_laid_anew_for_a_product_of_float32_on_a_cpu() -> None:
    fp32, bf16 = (inference(BASE, STEP, How(precision=of)).moments["answer"] for of in ("fp32", "bf16"))
    assert fp32["activations"] - bf16["activations"] == FLOAT * BASE.hidden * BASE.inner
