"""The analysis of a recorded pool: block differences cancel drift, and the margin and number of blocks follow."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xstilts.errors import DataError

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip(
        "benchmarks/ is not here: tests run in an unpacked sdist, or not as python -m pytest", allow_module_level=True
    )

from benchmarks.equivalence_pool import analyse, blocks, differences, log_times, main, markdown, read

Row = dict[str, Any]
ORDER = ("A", "A control", "A +5 %", "A +5 %", "A control", "A")
RATIOS = {"A": 1.0, "A control": 1.0, "A +5 %": 1.05}


def run(block: int, position: int, system: str, factor: float) -> Row:
    """A run whose offline time is 3 * ``factor`` seconds and whose median latency is 0.02 * ``factor``."""
    return {
        "block": block,
        "position": position,
        "system": system,
        "offline": {
            "en": {"seconds": [0.9 * factor, 1.1 * factor], "turns": [0, 1]},
            "de": {"seconds": [2.0 * factor, 2.0 * factor], "turns": [0, 1]},
        },
        "single_stream": {
            "en": {"latencies_s": [0.01 * factor, 0.02 * factor], "turns": [0, 0]},
            "de": {"latencies_s": [0.5 * factor], "turns": [1]},
        },
        "server": None,
        "other_cpu_share": 0.01,
    }


def pool(sd: float, *, count: int = 30, drift: float = 0.0, seed: int = 1) -> list[Row]:
    """``count`` blocks whose runs scatter by ``sd`` in log time, and drift by ``drift`` from each run to the next."""
    noise = np.random.default_rng(seed).normal(0, sd, (count, len(ORDER)))
    return [
        run(b, p, system, RATIOS[system] * math.exp(noise[b, p] + drift * (b * len(ORDER) + p)))
        for b in range(count)
        for p, system in enumerate(ORDER)
    ]


def test_times_of_a_run() -> None:
    assert {m: math.exp(v) for m, v in log_times(run(0, 0, "A", 2.0)).items()} == {
        "offline": pytest.approx(6.0),
        "single_stream": pytest.approx(0.04),
    }


@pytest.mark.parametrize("metric", ["offline", "single_stream"])
def test_a_drift_cancels_in_blocks_that_run_there_and_back(metric: str) -> None:
    drifting = blocks(pool(0.0, drift=0.01))
    assert differences(drifting, metric, "A control") == pytest.approx([0.0] * 30)
    assert differences(drifting, metric, "A +5 %") == pytest.approx([math.log(1.05)] * 30)


def test_a_quiet_pool_gives_a_margin_and_blocks_that_do_it() -> None:
    found = analyse(pool(0.01, drift=0.001), rounds=1000)
    chosen = found["chosen"]
    assert (found["runs"], found["blocks"], found["runs_per_system"]) == (180, 30, 60)
    assert found["metrics"]["offline"]["control"]["ratio"] == pytest.approx(1.0, abs=0.01)
    assert found["metrics"]["offline"]["slowed"]["ratio"] == pytest.approx(1.05, abs=0.01)
    # Two runs of each side: a block difference scatters as one run does.
    assert found["metrics"]["offline"]["control"]["sd"] == pytest.approx(0.01, rel=0.3)
    assert chosen["margin"] < 0.03
    for of in chosen["rates"].values():
        assert of["equivalent"] >= 0.9
        assert of["slower"] >= 0.9
    smaller = [c for c in found["design"] if (c["margin"], c["blocks"]) < (chosen["margin"], chosen["blocks"])]
    assert smaller
    assert not any(c["reached"] for c in smaller)
    assert chosen["whole"] <= min(min(of["equivalent"], of["slower"]) for of in chosen["rates"].values()) + 0.05
    assert found["fewest"][0] == {"margin": chosen["margin"], "blocks": chosen["blocks"]}
    sure = {of["margin"]: of["blocks"] for of in found["fewest_if_noisier"]}
    assert all(of["blocks"] <= sure.get(of["margin"], math.inf) for of in found["fewest"])
    assert f"A margin of {chosen['margin'] * 100:.3g} % with {chosen['blocks']} blocks" in markdown(found)


def test_a_noisy_pool_says_that_nothing_follows() -> None:
    found = analyse(pool(0.2), rounds=200)
    assert found["chosen"] is None
    assert "No margin up to 4 % with up to 16 blocks" in markdown(found)
    assert found["fewest"] == found["fewest_if_noisier"] == []


def test_both_metrics_must_reach_it() -> None:
    runs = pool(0.003)
    noise = np.random.default_rng(2).normal(0, 0.2, len(runs))
    for of, more in zip(runs, noise, strict=True):
        of["single_stream"] = {"en": {"latencies_s": [0.02 * math.exp(more)], "turns": [0]}}
    assert analyse(runs, rounds=200)["chosen"] is None
    offline_only = [{**of, "single_stream": None} for of in runs]
    found = analyse(offline_only, rounds=200)
    assert list(found["metrics"]) == ["offline"]
    assert found["chosen"]["margin"] <= 0.01


@pytest.mark.parametrize("order", [ORDER[:-1], ORDER[:3] * 2, ("A",) * 6, (*ORDER[:5], "B"), ORDER[:2]])
def test_a_block_that_is_not_there_and_back_is_refused(order: tuple[str, ...]) -> None:
    runs = [*pool(0.01, count=1), *(run(7, p, system, 1.0) for p, system in enumerate(order))]
    with pytest.raises(DataError, match="block 7: ran"):
        analyse(runs, rounds=10)


def test_systems_that_take_turns_run_once_in_a_block() -> None:
    runs = [of for of in pool(0.005) if of["position"] < 3]
    found = analyse(runs, rounds=200)
    assert found["runs_per_system"] == 30
    assert differences(blocks(runs), "offline", "A +5 %")[0] == pytest.approx(math.log(1.05), abs=0.05)


def test_a_pool_without_times_is_refused() -> None:
    with pytest.raises(DataError, match="no metric"):
        analyse([{**of, "offline": None, "single_stream": None} for of in pool(0.01)], rounds=10)


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"block": 0, "position": 0, "offline": {"en": {"seconds": []}}, "single_stream": null}']
)
def test_a_line_that_is_no_run_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "pool.jsonl").write_text(json.dumps(run(0, 0, "A", 1.0)) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"pool\.jsonl:2: no run"):
        read(tmp_path / "pool.jsonl")


def test_the_record_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(r) + "\n" for r in pool(0.01)), encoding="utf-8")
    (tmp_path / "intro.md").write_text("# Where and when\n", encoding="utf-8")
    out = tmp_path / "v1.2"
    files = [str(tmp_path / "pool.jsonl"), "--out", str(out), "--intro", str(tmp_path / "intro.md"), "--rounds", "100"]
    monkeypatch.setattr(sys, "argv", ["equivalence_pool", *files])
    main()
    written = json.loads((tmp_path / "v1.2.json").read_text(encoding="utf-8"))
    page = (tmp_path / "v1.2.md").read_text(encoding="utf-8")
    assert written == json.loads(json.dumps(analyse(read(tmp_path / "pool.jsonl"), rounds=100)))
    assert page == "# Where and when\n\n" + markdown(written)
    assert capsys.readouterr().out.strip() in page
