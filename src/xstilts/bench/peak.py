"""The matrix-product peak that a device really reaches: the yardstick beside every throughput."""

from __future__ import annotations

import time

import torch

SECONDS = 1.5
SIZES = {"cpu": 2048, "cuda": 8192}


def matrix_product_flops_per_s(device: str, precision: str) -> float:
    """The best of repeated square products for a second and a half; 2 n^3 operations each.

    Args:
        device: ``cpu`` or ``cuda:N``.
        precision: ``bf16`` multiplies bfloat16 matrices, ``fp32`` float32 ones (on CUDA as torch is set: no TF32 by default).
    """
    kind = torch.device(device).type
    size = SIZES[kind]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, dtype=torch.float32, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        torch.mm(left, right)
        if kind == "cuda":
            torch.cuda.synchronize(device)

    product()
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
