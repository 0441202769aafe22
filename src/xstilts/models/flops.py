"""Floating-point operations of an encoder, counted on real tokens only: what padding adds is no work anybody asked for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from xstilts.models.encoder import Encoder


def forward_flops(
    encoder: Encoder, lengths: Sequence[int], *, up_to: int | None = None, reads: int | None = None
) -> int | None:
    """Operations of one forward pass; ``None`` for an encoder whose layers are shared or not in one list.

    Two for each multiply-add of a weight matrix or of attention's two products.

    Embedding look-ups, normalisation, softmax and the head are left out (under one per cent of an encoder's work).

    Args:
        encoder: its layers' linear maps are counted as they are.
        lengths: real sub-words of each sequence.
        up_to: layers above it are not run.
        reads: positions a head reads: after the last layer's attention nothing else is computed (``Encoder.read``).
    """
    if not encoder.ends_early:
        return None
    layers, tokens = encoder.num_layers if up_to is None else up_to, sum(lengths)
    whole, at_reads = 0, 0
    for name, module in encoder.transformer.named_modules():
        number = _layer_number(name)
        if not isinstance(module, nn.Linear) or number is None or number >= layers:
            continue
        picked = reads is not None and encoder.execution.kind == "packed" and number == encoder.num_layers - 1
        if picked and ".attention.self." not in name:
            at_reads += module.weight.numel()
        else:
            whole += module.weight.numel()
    attention = 4 * encoder.hidden_size * layers * sum(length * length for length in lengths)
    return 2 * whole * tokens + 2 * at_reads * (reads or 0) + attention


def _layer_number(name: str) -> int | None:
    """``encoder.layer.3.output.dense`` is in layer 3."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)
