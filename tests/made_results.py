"""Made-up results of a study of all nine targets in all languages, whose changes over the baseline arm are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xstilts.published.own import OwnArm, OwnModel, OwnStudy
from xstilts.published.settings import Settings
from xstilts.report.results import FIELDS
from xstilts.tasks import load, targets

Change = Callable[[str, str, int], float]
"""(arm, target, seed) -> points over the baseline arm."""
BASE = 50.0
LAYERS = 24


def made_row(model: str, arm: str, target: str, language: str, split: str, seed: int, **more: Any) -> dict[str, Any]:
    retrieval = load(target).trains_on is None
    row = dict.fromkeys(FIELDS) | {
        "model": model,
        "arm": arm,
        "target": target,
        "language": language,
        "split": split,
        "seed": seed,
        "metric": load(target).main_score[0],
        "value": BASE,
        "count": 10_000,
        "source": "en",
        "selection": ("threshold_from_same_dev" if split == "dev" else "rule") if retrieval else "last",
        "unit": "points",
        "status": "ok",
        "key": f"{arm} {target} {seed}",
        "layer": 14 if retrieval else None,
        "pooling": "mean" if retrieval else None,
    }
    return row | more


def made_study(
    arms: Mapping[str, Sequence[str]],
    change: Change,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    published: str | None = "xlm-r-large",
    limited: bool = False,
    probe: bool = False,
    name: str = "made",
    only: Sequence[str] | None = None,
    languages: int | None = None,
    sources: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    own_arms: Mapping[str, OwnArm] | None = None,
) -> OwnStudy:
    """``arms`` beside ``none``; every metric of every language scores ``BASE`` plus the change, plus the seed in points."""
    learned = {"none": (), **{arm: tuple(tasks) for arm, tasks in arms.items()}}
    rows = [
        made_row("m", arm, task.name, language, split, seed, metric=metric, value=BASE + seed + up)
        for arm in learned
        for seed in seeds
        for task in targets()
        if only is None or task.name in only
        for split in task.files
        if split != "train"
        for language in task.languages[:languages]
        if language in task.languages_of(split)
        for metric in task.main_score
        for up in [0.0 if arm == "none" else change(arm, task.name, seed)]
    ]
    own = {arm: OwnArm(tasks, (sources or {}).get(arm)) for arm, tasks in learned.items()} | dict(own_arms or {})
    models = {"m": OwnModel("m", published)}
    made = dict(settings or {})
    return OwnStudy(name, tuple(rows), own, models, {}, limited, probe, lambda row: dict(made), {"m": LAYERS})


def near(mean: float) -> Change:
    """``mean`` on every target, with a scatter of a tenth of a point over seeds, which three seeds' mean does not have."""
    return lambda arm, target, seed: mean + 0.1 * (seed - 2)
