"""Floating-point operations of an encoder, counted on real tokens only: what padding adds is no work anybody asked for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from xstilts.models.encoder import Encoder


def forward_flops(encoder: Encoder, lengths: Sequence[int], *, up_to: int | None = None) -> int | None:
    """Operations of one forward pass; ``None`` for an encoder whose layers are shared or not in one list.

    Two for each multiply-add of a weight matrix or of attention's two products.

    Embedding look-ups, normalisation, softmax and the head are left out (under one per cent of an encoder's work).

    Args:
        encoder: its layers' linear maps are counted as they are.
        lengths: real sub-words of each sequence.
        up_to: layers above it are not run.
    """
    if not encoder.ends_early:
        return None
    layers = encoder.num_layers if up_to is None else up_to
    weights = sum(
        module.weight.numel()
        for name, module in encoder.transformer.named_modules()
        if isinstance(module, nn.Linear) and (number := _layer_number(name)) is not None and number < layers
    )
    attention = 4 * encoder.hidden_size * layers * sum(length * length for length in lengths)
    return 2 * weights * sum(lengths) + attention


def _layer_number(name: str) -> int | None:
    """``encoder.layer.3.output.dense`` is in layer 3."""
    return next((int(part) for part in name.split(".") if part.isdigit()), None)
