"""Measurements that cannot be are refused before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from measured_study import measured_study

from tiny_world import tiny_data, write_study
from xstilts import journey
from xstilts.errors import XstiltsError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["xquad"]}, "measurements.m.targets: unknown target of this study 'xquad'"),
        ({"arms": ["nmli"]}, "measurements.m.arms: unknown arm 'nmli'\n  did you mean 'mnli'"),
        ({"arms": ["mnli"], "margin": 0.1}, "measurements.m.arms: arms are compared with the baseline arm"),
        ({"split": "dev"}, "measurements.m.split: the study does not evaluate dev"),
        ({"languages": ["sw"]}, "measurements.m.languages: the study does not evaluate pawsx test in sw"),
        ({"rows": 9}, "measurements.m.rows: 9 rows are measured, but only 6 are scored"),
        ({"blocks": 2, "margin": 0.1}, "blocks: 2 cannot show equivalence"),
        ({"layers": ["last"]}, "measurements.m.layers: layers are for retrieval targets"),
        ({"scenarios": {"ofline": None}}, "measurements.m.scenarios.ofline: unknown field"),
        ({"margin": 0.1, "blocks": 3}, "two measured systems would be called 'tiny/none control'"),
        ({"scenarios": {"offline": None, "single_stream": None}}, "no scenario is left"),
    ],
)
def test_a_measurement_that_cannot_be_is_refused_at_planning(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    fields = {"targets": ["pawsx"], "rows": 4, **changes}
    arms = {"none": {}, "mnli": {"intermediate": "mnli"}}
    arms |= {"none control": {"intermediate": "mnli"}} if message.startswith("two") else {}
    asked = measured_study(measurements={"m": fields}, limits={"evaluation_rows": 6}, arms=arms)
    study = write_study(tmp_path, asked)
    with (
        pytest.raises(XstiltsError) as refused,
        journey.open_store(tmp_path / "store") as store,
    ):
        journey.plan_study(study, tiny_data(), store)
    assert message in str(refused.value)


def test_several_devices_of_one_kind_are_one_and_of_two_kinds_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path, measured_study())
    with journey.open_store(tmp_path / "store") as store:
        both = journey.plan_study(study, tiny_data(), store, devices=("cpu", "cpu"))
        assert len(both.measured) == 2
        monkeypatch.setattr(journey, "fingerprint", lambda device, *_: {"name": device})
        with pytest.raises(XstiltsError, match="cpu and cuda:0 are not one device"):
            journey.plan_study(study, tiny_data(), store, devices=("cpu", "cuda:0"))
