"""The optimizers and the learning rate's course."""

from __future__ import annotations

import math

import torch
from torch import nn

from xstilts.hyperparameters import Training
from xstilts.text_hyperparameters import TextTraining

_FUSED_DEVICES = {"cpu", "cuda"}  # where torch has one kernel for the whole update; it equals the plain loop to 5e-7


def optimizer_of(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """AdamW, or torch's Adafactor where the training of a text-to-text model says so.

    Adafactor keeps one number for each row and column of a matrix in place of two for each weight, and its steps are
    relative to the size of the weights (Shazeer and Stern 2018): 1e-3 is mT5's constant rate for it.
    """
    if isinstance(settings, TextTraining) and settings.optimizer == "adafactor":
        parameters = [p for p in model.parameters() if p.requires_grad]
        return torch.optim.Adafactor(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return adamw(model, settings)


def adamw(model: nn.Module, settings: Training) -> torch.optim.AdamW:
    """AdamW over the parameters that need a gradient, without weight decay on biases and norms.

    The rule: a parameter with fewer than two dimensions does not decay. In transformer encoders these are exactly the
    biases and the weights of LayerNorm.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=settings.learning_rate,
        betas=settings.adam_betas,
        eps=settings.adam_epsilon,
        fused=all(p.device.type in _FUSED_DEVICES for p in parameters),
    )


def warmup_steps(warmup: float, total_steps: int) -> int:
    """Steps of warm-up: ``warmup`` of them if 1 or more, else that share of all steps, rounded down."""
    if warmup >= 1:
        return int(warmup)
    return math.floor(warmup * total_steps + 1e-9)  # 0.29 * 100 is 28.999999999999996


def learning_rate(step: int, total_steps: int, settings: Training) -> float:
    """The learning rate of update ``step`` (counted from 0): linear warm-up from 0, then linear decay towards 0, or constant.

    The course of transformers' ``get_linear_schedule_with_warmup``, which the published recipes use: with warm-up the
    first update has rate 0, and the rate would reach 0 again one update after the last. A pure function of the step,
    so a resumed run needs no schedule state.
    """
    warmup = warmup_steps(settings.warmup, total_steps)
    if step < warmup:
        return settings.learning_rate * step / warmup
    if isinstance(settings, TextTraining) and settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * max(0, total_steps - step) / max(1, total_steps - warmup)
