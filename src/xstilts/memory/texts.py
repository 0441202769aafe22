"""What text-to-text models hold while they learn and write, by the way ``training.texts`` and ``inference.generate`` work.

All their weights are trained, and gradients of both embedding matrices are as large as these. Counts of what a layer leaves
behind were read off autograd itself (float32: exact).

Shape legend: n rows of a micro-batch; L its longest input; M its longest target; H hidden size; A width of what attends, all
heads together; F inner size; h heads; V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

from xstilts.memory.dimensions import Dimensions
from xstilts.memory.estimate import CONTEXT, CUT, FLOAT, HEAP_PIECE, HOLES, How, Work
from xstilts.memory.need import GAPS, Need

_BFLOAT = 2


def rows_at_once(work: Work, how: How) -> int:
    """n of the largest micro-batch: padded, inputs and targets fit the budget together."""
    rows = max(1, how.tokens // (work.longest + (work.written if work.step_tokens else 0)))
    return min(rows, -(-work.step_tokens // work.longest)) if work.step_tokens else rows


def left_by_encoder(of: Dimensions, work: Work, how: How, rows: int) -> Iterator[tuple[float, int]]:
    """How many tensors of what size in bytes one layer of the encoder leaves for its backward pass.

    In float32: 8 H (two norms with what goes into them, and two dropouts), 4 A (query, key, value, what was attended to), 8 F
    (both products, GELU, their product, a dropout) and 3 h L of attention's weights, for each sub-word.
    """
    inputs = rows * work.longest
    counts: list[tuple[float, int]]
    if how.precision == "fp32":
        counts = [(8, of.hidden), (4, of.attends), (8, of.inner), (3, of.heads * work.longest)]
    else:
        counts = [(7.5, of.hidden), (3.5, of.attends), (4, of.inner), (3, of.heads * work.longest)]
    yield from ((count, FLOAT * inputs * size) for count, size in counts)


def left_by_decoder(of: Dimensions, work: Work, how: How, rows: int) -> Iterator[tuple[float, int]]:
    """The same of the decoder, for each sub-word that is written; it also attends to what was read: 2 A for each of these."""
    written, inputs = rows * work.written, rows * work.longest
    counts: list[tuple[float, int]]
    if how.precision == "fp32":
        counts = [(12, of.hidden), (6, of.attends), (8, of.inner), (3, of.heads * (work.written + work.longest))]
    else:
        counts = [(14.5, of.hidden), (1, of.attends), (4, of.inner), (3, of.heads * (work.written + work.longest))]
    yield from ((count, FLOAT * written * size) for count, size in counts)
    yield 2 if how.precision == "fp32" else 3, FLOAT * inputs * of.attends


def text_training(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one process that trains a text-to-text model."""
    rows, matrix = rows_at_once(work, how), FLOAT * of.embedding
    inputs, everything = rows * work.longest, FLOAT * of.parameters
    casts = _BFLOAT * (of.every_layer + of.embedding) if how.precision == "bf16" else 0
    moments = 2 * everything // of.hidden if work.factored else 2 * everything
    held = {"weights": everything + casts, "optimizer": moments}
    left = [
        (layers * count, size)
        for layers, found in ((of.layers, left_by_encoder), (of.decoder_layers, left_by_decoder))
        for count, size in found(of, work, how, rows)
    ]
    backward = FLOAT * inputs * (2 * of.inner + 2 * of.hidden) + 2 * FLOAT * inputs * of.heads * work.longest
    kept = int(sum(count * size for count, size in left))
    parted = work.step_tokens > inputs
    grown = {"gradients": everything}
    moving = {
        "activations": kept + backward,
        "logits": 3 * FLOAT * rows * work.written * of.vocabulary,
        "gradients": everything if parted else 0,
    }
    # The matrix of sub-words is read on both sides, so its gradient is there twice before it is summed, once more where
    # earlier parts of the step left one; the output matrix's comes while all activations are still there.
    twice = {**grown, "gradient of the matrix": (2 if parted else 1) * matrix}
    estimated = {**grown, "estimate of a moment": matrix if work.factored else 0}
    best = {"best weights": everything if work.keeps_best else 0}
    if how.device == "cuda":
        card = {"context": CONTEXT, **held}
        host = {"load": work.loading, "train": {**work.process, **best, "copy to save": everything}}
        of_card = {"backward": moving | {"gradient of the output": matrix}, "embed": twice, "update": estimated}
        return Need({moment: {**card, **parts} for moment, parts in of_card.items()}, host=host)
    heaped = int(sum(count * size for count, size in left if size <= HEAP_PIECE))
    gaps = {GAPS: int(heaped * (HOLES + CUT * (2 if parted else 1)))}
    base = {**work.process, **held, **best}
    return Need(
        {
            "load": {**work.loading, "weights": everything if work.converted else 0},
            "backward": {**base, **moving, "gradient of the output": matrix, **gaps},
            "embed": {**base, **twice, "activations": heaped},
            "update": {**base, **estimated, "activations": heaped},
        }
    )


def text_inference(of: Dimensions, work: Work, how: How) -> Need:
    """The memory of one process in which a text-to-text model writes: read by the encoder, then token by token."""
    rows, weights = rows_at_once(work, how), FLOAT * of.parameters
    inputs = rows * work.longest
    casts = _BFLOAT * (of.every_layer + of.embedding) if how.precision == "bf16" else 0
    reading = FLOAT * inputs * (3 * of.inner + 4 * of.hidden + 3 * of.attends + 2 * of.heads * work.longest)
    # Keys and values of what was read and of what was written; those of one layer are there twice while it grows.
    cached = 2 * FLOAT * of.attends * rows * (of.decoder_layers + 1) * (work.longest + work.written)
    states, chosen = FLOAT * inputs * of.hidden, 3 * FLOAT * rows * of.vocabulary
    moving = {"read": {"activations": reading}, "write": {"keys and values": cached + states, "logits": chosen}}
    if how.device == "cuda":
        card = {"context": CONTEXT, "weights": weights + casts}
        return Need({moment: {**card, **parts} for moment, parts in moving.items()}, host={"read": work.loading})
    own = {"weights": casts + (weights if work.converted else 0)}
    moments = {moment: {**work.process, **own, **parts} for moment, parts in moving.items()}
    return Need({"load": {**work.loading, **own}, **moments}, mapped=0 if work.converted else weights)
