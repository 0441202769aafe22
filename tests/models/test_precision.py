"""Which precision ``auto`` means, decided without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xstilts.models.precision import native_bf16, resolve_precision


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 avx512f avx512_bf16", True),
        ("fpu amx_bf16", True),
        ("fpu avx2 avx512f avx512_bf16x", False),
        ("", False),
    ],
)
def test_flags_of_the_cpu_decide(tmp_path: Path, flags: str, native: bool) -> None:
    (tmp_path / "cpuinfo").write_text(
        f"processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: {flags}\nbugs\t\t: none\n"
    )
    assert native_bf16("cpu", cpuinfo=tmp_path / "cpuinfo") is native


def test_without_a_cpuinfo_file_the_answer_is_no(tmp_path: Path) -> None:
    assert native_bf16("cpu", cpuinfo=tmp_path / "none") is False


def test_auto_follows_the_device_and_a_wish_is_kept() -> None:
    assert resolve_precision("auto", "cpu") == ("bf16" if native_bf16("cpu") else "fp32")
    assert (resolve_precision("bf16", "cpu"), resolve_precision("fp32", "cpu")) == ("bf16", "fp32")


def test_asking_about_the_cpu_imports_no_torch() -> None:
    code = (
        "import sys; from xstilts.models.precision import native_bf16 as n; n('cpu'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
