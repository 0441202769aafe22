"""The whole grid is priced from the committed lengths, and each way does at least the work of the one before."""

from __future__ import annotations

import importlib.util
import json

import pytest

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip("benchmarks/ is not here: tests run in an unpacked sdist", allow_module_level=True)
from benchmarks.grid import LENGTHS, Pricing, encoder_of, plan_of, ways


def test_shared_work_is_done_once_and_padding_costs() -> None:
    pricing = Pricing(encoder_of(1024, 24, 16, 4096), json.loads(LENGTHS.read_text(encoding="utf-8")))
    ours, padded, scripts, apart = ways(plan_of("phang2020"), pricing)
    assert ours.flops < padded.flops < scripts.flops < apart.flops
    assert ours.trainings < scripts.trainings < apart.trainings
