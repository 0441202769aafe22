"""Which numbers a device computes fast. No torch here for the CPU: planning asks before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from xstilts.device import members
from xstilts.errors import MissingNameError

Precision = Literal["fp32", "bf16"]
"""``bf16`` means float32 weights under bfloat16 autocast; weights themselves are never bfloat16, and fp16 is not offered."""


def native_bf16(device: str, *, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices in hardware.

    Emulated bfloat16 is many times slower than float32, so ``auto`` must ask. A CPU is asked by the flags ``avx512_bf16``
    or ``amx_bf16`` in ``/proc/cpuinfo``; where that file does not exist the answer is no.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        cpuinfo: the file with the CPU's flags.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu" or not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text(errors="replace").splitlines():
        if line.startswith("flags"):
            return not {"avx512_bf16", "amx_bf16"}.isdisjoint(line.split())
    return False


def resolve_precision(wanted: Literal["auto", "fp32", "bf16"], device: str) -> Precision:
    """``auto`` becomes ``bf16`` where it is native and ``fp32`` elsewhere; the rest stays as asked.

    Raises:
        MissingNameError: another one, which would be written down and not computed with.
    """
    if wanted not in (known := ("auto", *get_args(Precision))):
        raise MissingNameError("precision", str(wanted), known, where="--precision")
    if wanted == "auto":
        return "bf16" if native_bf16(members(device)[0]) else "fp32"
    return wanted
