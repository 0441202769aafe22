"""The record of the large shapes grows shape by shape, and what is in it is not measured again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks import impact13b

EMBEDDING = {
    "language": "all",
    "sequences_per_second": 12.5,
    "tokens_per_second": 1250.0,
    "p50_seconds": 0.2,
    "p90_seconds": None,
    "memory_gib": 3.25,
}
RUN = {
    "lengths": [{"written": n, "offline_s": [0.5 * n], "latencies_s": [0.1 * n] * 3} for n in impact13b.WRITTEN],
    "read": 40,
    "parameters": 7,
    "peak_bytes": 2**30,
    "device_peak_bytes": None,
}


def test_an_interrupted_record_goes_on_behind_its_last_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(args: Any, shape: str, asked: dict[str, Any]) -> dict[str, Any]:
        measured.append(shape)
        if len(measured) == 2:
            raise KeyboardInterrupt
        if "written" not in asked:
            return {"embedding": [EMBEDDING]}
        about = {
            "model": shape,
            "random_weights": "seed 1",
            "task": "xnli",
            "split": "test",
            "language": "en",
            "rows": 4,
        }
        return {"writing": {"about": {**about, "device": asked["device"]}, "runs": [RUN]}}

    def run(*more: str) -> int:
        command = ["impact13b", "--tokenizer", "T", "--data", "D", "--scratch", str(tmp_path), "--threads", "1"]
        monkeypatch.setattr("sys.argv", [*command, "--out", str(tmp_path / "record"), *more])
        return impact13b.main()

    monkeypatch.setattr(impact13b, "_measured", measure)
    with pytest.raises(KeyboardInterrupt):
        run("--shapes", "xlm-r-xl", "mt5-xl")
    assert run("--shapes", "xlm-r-xl", "mt5-xl") == run("--shapes", "xlm-r-xl", "mt5-xl") == 0
    assert measured == ["xlm-r-xl", "mt5-xl", "mt5-xl"]
    run("--shapes", "xlm-r-xl", "--rows", "3")  # another wish is another line
    assert measured[3:] == ["xlm-r-xl"] and len((tmp_path / "record.jsonl").read_text().splitlines()) == 3
    table = (tmp_path / "record.md").read_text()
    assert "3,475,929,600 parameters, weights drawn, not learned" in table
    assert "| all | 12.5 | 1,250 | 200 | – | 3.25 |" in table and "| 32 | 0.250 | 8.00 | 3,200 |" in table
