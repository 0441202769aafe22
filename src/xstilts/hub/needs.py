"""Which rows a study needs: the same rule as the plan's, but for rows that are not there yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from xstilts.hub.declared import REFUSED
from xstilts.hyperparameters import MASKED_LM, HubText, MaskedLM
from xstilts.study import Study
from xstilts.tasks import load
from xstilts.tasks.task import Task


@dataclass(frozen=True, order=True)
class Need:
    """One split of one task in one language.

    ``optional``: the study runs without it, only differently. ``own``: one of the study's own languages, of which the hub
    has nothing, whatever its code means elsewhere.
    """

    task: str
    split: str
    language: str
    optional: bool = False
    own: bool = False


@dataclass(frozen=True)
class Text:
    """What masked LM learns from: a file for each language. ``one_is_enough``: of translations, any are. ``hub`` is where
    the study says that files which are not there come from."""

    where: str  # in the study file
    what: str
    pattern: str
    languages: tuple[str, ...]
    one_is_enough: bool = False
    hub: HubText | None = None


def needs(study: Study) -> list[Need]:
    """Everything the study reads, each once: targets, what they train on, intermediate tasks, BUCC's dev pairs.

    Rows in ``data.files`` are the study's own and not asked for.
    """
    found: dict[tuple[str, str, str], Need] = {}
    for need in _all(study):
        stands_in = {f"{need.task}.{need.split}", f"{need.task}.{need.split}.{need.language}"} & set(study.data.files)
        known = found.get((need.task, need.split, need.language))
        if not stands_in and (known is None or known.optional):
            own = (
                {need.language} if load(need.task).group != "retrieval" else {need.language, "en"}
            )  # one side is English
            found[need.task, need.split, need.language] = replace(need, own=not own.isdisjoint(study.own_languages))
    return list(found.values())


def texts(study: Study) -> list[Text]:
    """The texts and translations that the study's models and arms learn by masked LM; not those that are a task's rows."""
    found = []
    for where, of in _masked_lm(study).items():
        if isinstance(of.text, dict):
            found += [Text(where, "text", of.text[language], (language,), hub=of.hub) for language in of.languages]
        elif of.text_of_task is None:
            found.append(Text(where, "text", of.text, of.languages, hub=of.hub))
        if of.translation and of.bitext:
            found.append(Text(where, "bitext", of.bitext, of.languages, one_is_enough=True))
    return found


def _masked_lm(study: Study) -> dict[str, MaskedLM]:
    """Place in the study file -> what is learned there by masked LM."""
    found: dict[str, MaskedLM] = {f"models.{n}.pretrain": of.pretrain for n, of in study.models.items() if of.pretrain}
    return found | {f"arms.{name}.{MASKED_LM}": of.masked_lm for name, of in study.arms.items() if of.masked_lm}


def _all(study: Study) -> Iterator[Need]:
    targets = [load(name) for name in study.targets]
    for arm, choice in study.arms.items():
        for name in choice.tasks:
            yield from _training(study, load(name), "intermediate", targets, study.source_of(arm, "intermediate"))
    for of in _masked_lm(study).values():
        if of.text_of_task is not None:
            yield from (Need(*of.text_of_task, language) for language in of.languages)
    sources = dict.fromkeys(study.source_of(arm, "target") for arm in study.arms)
    for target in targets:
        if target.trains_on is not None:
            for source in sources:
                yield from _training(study, target, "target", targets, source)
        for split in study.splits:
            if split in target.files:
                spared = split == "dev" and target.name not in REFUSED  # as in the plan: a language may lack dev rows
                yield from (Need(target.name, split, language, spared) for language in _languages(study, target))
    if study.retrieval.layer_from == "bucc_dev" and any(t.trains_on is None for t in targets):
        bucc = load("bucc2018")
        own = [language for language in study.own_languages if language != study.source]
        pairs = own if "en" in study.own_languages else [*bucc.languages, *own]
        yield from (Need(bucc.name, "dev", language, optional=True) for language in dict.fromkeys(pairs))


def _training(study: Study, task: Task, role: str, targets: list[Task], source: str) -> Iterator[Need]:
    rows_of = load(str(task.trains_on))
    yield Need(rows_of.name, "train", source)
    if study.training_of(task.name, role, task.training).selection == "dev":
        yield Need(task.name, "dev", source)
    if study.data.drop_overlap:
        for target in targets:
            if type(target.type) is type(rows_of.type) and source in target.languages:
                yield Need(target.name, "test", source, optional=True)


def _languages(study: Study, target: Task) -> list[str]:
    """The target's languages that the study asks for, and the study's own; retrieval is never within one language."""
    own = [lang for lang in study.own_languages if target.trains_on is not None or lang != study.source]
    known = dict.fromkeys([*target.languages, *own])
    return list(known) if isinstance(study.languages, str) else [lang for lang in study.languages if lang in known]
