"""Encoders that an intermediate training keeps on the way, so that retrieval can be read at every checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xstilts.errors import StudyError
from xstilts.study import Study
from xstilts.tasks import load

FIELD = "retrieval.checkpoints"


def checkpoints_of(study: Study) -> int:
    """How many an intermediate training keeps; none where no target is retrieval."""
    return study.retrieval.checkpoints if any(load(t).trains_on is None for t in study.targets) else 0


def kept_spec(study: Study, training: Mapping[str, Any]) -> dict[str, int]:
    """What the spec of an intermediate training says of them: nothing where none is kept, so that no key moves.

    Raises:
        StudyError: the training may end before the last of them, or has too few steps for so many.
    """
    count = checkpoints_of(study)
    if not count:
        return {}
    if training["selection"] == "dev" and training["patience"] is not None:
        raise StudyError(
            f"an intermediate training with patience {training['patience']} may end before its checkpoints are reached",
            where=FIELD,
            hint="say training: {intermediate: {patience: null}}, or checkpoints: 0",
        )
    if training["max_steps"] is not None and training["max_steps"] <= count:
        raise StudyError(
            f"{count} checkpoints on the way through {training['max_steps']} steps",
            where=FIELD,
            hint="at most one a step",
        )
    return {"checkpoints": count}
