"""A probe: an ordinary study of a few steps an arm on one target, whose only use is to rank the intermediate tasks."""

from __future__ import annotations

from typing import Any

from xstilts import tasks
from xstilts.errors import DataError, MissingNameError
from xstilts.published.own import PROBE
from xstilts.study import Study, parse_study
from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder

BATCH = 16
EVALUATED = 200
SOURCE = "en"


def probe_study(target: str, model: str, choice: dict[str, Any], data: DataFolder, steps: int, rate: float) -> Study:
    """The probe of ``target`` with every intermediate task whose training rows are in the data folder.

    Each arm learns ``steps`` steps of its task and as many of the target, and keeps the last. Nothing is chosen on dev, so
    the dev scores rank the arms.

    Args:
        target: a target task.
        model: what to call the model.
        choice: its entry in the study file, such as ``{"path": FOLDER}``.
        data: the data folder.
        steps: of each training.
        rate: learning rate of all trainings.

    Raises:
        MissingNameError: no such target task.
        DataError: no intermediate task has training rows here.
    """
    names = [task.name for task in tasks.targets()]
    if target not in names:
        raise MissingNameError("target task", target, names, where="TARGET")
    there = [task.name for task in tasks.intermediate() if data.files(task, "train", SOURCE)]
    if not there:
        raise DataError(
            "no intermediate task has training files here",
            where=str(data.root),
            hint="`xstilts data check` says what is missing and how to get it",
        )
    rows = steps * BATCH
    few = {"max_steps": steps, "batch_size": BATCH, "learning_rate": rate, "warmup": 0.1, "selection": "last"}
    raw = {
        "name": f"probe-{target}-{model}",
        "title": f"A probe of {len(there)} intermediate tasks for {load(target).title}: {steps} steps each",
        "models": {model: choice},
        "arms": {"none": {}, **{name: {"intermediate": name} for name in there}},
        "targets": [target],
        "languages": "with_gold",
        "splits": ["dev" if "dev" in load(target).files else "test"],
        "seeds": [1],
        "limits": {"train_rows": {"intermediate": rows, "target": rows}, "evaluation_rows": EVALUATED},
        "training": {"intermediate": few, "target": few},
        "retrieval": {"poolings": ["mean"]},
        "notes": {PROBE: f"{steps} steps an arm: good for ranking arms at most, not for reporting."},
    }
    return parse_study(raw, where="the probe")
