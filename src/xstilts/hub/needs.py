"""Which rows a study needs: the same rule as the plan's, but for rows that are not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xstilts.study import Study
from xstilts.tasks import load
from xstilts.tasks.task import Task


@dataclass(frozen=True, order=True)
class Need:
    """One split of one task in one language. ``optional``: the study runs without it, only differently."""

    task: str
    split: str
    language: str
    optional: bool = False


def needs(study: Study) -> list[Need]:
    """Everything the study reads, each once: targets, what they train on, intermediate tasks, BUCC's dev pairs.

    Rows in ``data.files`` are the study's own and not asked for.
    """
    found: dict[tuple[str, str, str], Need] = {}
    for need in _all(study):
        stands_in = {f"{need.task}.{need.split}", f"{need.task}.{need.split}.{need.language}"} & set(study.data.files)
        known = found.get((need.task, need.split, need.language))
        if not stands_in and (known is None or known.optional):
            found[need.task, need.split, need.language] = need
    return list(found.values())


def _all(study: Study) -> Iterator[Need]:
    targets = [load(name) for name in study.targets]
    for arm in study.arms.values():
        if arm.intermediate is not None:
            yield from _training(study, load(arm.intermediate), "intermediate", targets)
    for target in targets:
        if target.trains_on is not None:
            yield from _training(study, target, "target", targets)
        for split in study.splits:
            if split in target.files:
                yield from (Need(target.name, split, language) for language in _languages(study, target))
    if study.retrieval.layer_from == "bucc_dev" and any(t.trains_on is None for t in targets):
        yield from (Need("bucc2018", "dev", language, optional=True) for language in load("bucc2018").languages)


def _training(study: Study, task: Task, role: str, targets: list[Task]) -> Iterator[Need]:
    rows_of = load(str(task.trains_on))
    yield Need(rows_of.name, "train", study.source)
    if study.training_of(task.name, role, task.training).selection == "dev":
        yield Need(task.name, "dev", study.source)
    if study.data.drop_overlap:
        for target in targets:
            if type(target.type) is type(rows_of.type) and study.source in target.languages:
                yield Need(target.name, "test", study.source)


def _languages(study: Study, target: Task) -> tuple[str, ...]:
    if isinstance(study.languages, str):
        return target.languages
    return tuple(language for language in study.languages if language in target.languages)
