"""Whether what a study names exists and fits together: asked first, without data and without torch."""

from __future__ import annotations

from pathlib import Path

from xstilts.errors import MissingNameError, StudyError, XstiltsError
from xstilts.hyperparameters import MASKED_LM
from xstilts.languages import private_use
from xstilts.shapes import SHAPES
from xstilts.study import Study
from xstilts.task_types import Classification, Tagging
from xstilts.tasks import intermediate, load, names
from xstilts.tasks.task import Task


def check_names(study: Study, file: Path | None = None) -> None:
    """Every task, split and language that a study names exists and stands in the right role.

    Raises:
        MissingNameError: with the nearest names.
        StudyError: a task that cannot stand where it is put. Both name ``file``, if the study is from one.
    """
    try:
        _check_names(study)
    except XstiltsError as error:
        error.where = f"{file}: {error.where}" if file else error.where
        raise


def _check_names(study: Study) -> None:
    target_names = [n for n in names() if load(n).role == "target"]
    intermediate_names = [t.name for t in intermediate()]
    for target in study.targets:
        if target not in target_names:
            raise MissingNameError("target task", target, target_names, where="targets")
        _check_labels(load(target))
    for arm, choice in study.arms.items():
        for task in choice.tasks:
            where = f"arms.{arm}.intermediate"
            if task not in names():
                raise MissingNameError("intermediate task", task, [*intermediate_names, MASKED_LM], where=where)
            if load(task).trains_on is None:
                raise StudyError(f"{task} has no training rows, so it cannot be an intermediate task", where=where)
    for name, model in study.models.items():
        if model.shape is not None and model.shape not in SHAPES:
            raise MissingNameError("shape", model.shape, SHAPES, where=f"models.{name}.shape")
    _check_texts(study)
    _check_mlqa(study)
    _check_measurements(study)
    by_task = {"training": study.training, "encoding": study.encoding, "limits.train_rows": study.limits.train_rows}
    by_task |= {f"text_to_text.{name}": getattr(study.text_to_text, name) for name in ("training", "encoding")}
    for section, values in by_task.items():
        for key in values if isinstance(values, dict) else ():
            known = [
                *names(),
                MASKED_LM,
                "intermediate",
                "target",
                *(["mixture"] if section.endswith("training") else []),
            ]
            if key not in known:
                raise MissingNameError("task", key, known, where=section)
    for key in study.data.files:
        task, _, rest = key.partition(".")
        if task not in names():
            raise MissingNameError("task", task, names(), where=f"data.files.{key}")
        if rest.partition(".")[0] not in load(task).files:
            raise StudyError(
                f"{task} has no split {rest!r}",
                where=f"data.files.{key}",
                hint=f"splits: {', '.join(load(task).files)}",
            )
    if not isinstance(study.languages, str):
        known = sorted({language for t in target_names for language in load(t).languages} | study.own_languages.keys())
        for language in study.languages:
            if language not in known:
                raise MissingNameError("language", language, known, where="languages")


def _check_texts(study: Study) -> None:
    """Where masked LM learns from a task's rows, the task has texts in that split; retrieval's sentences are test sets."""
    models = {f"models.{name}.pretrain": of.pretrain for name, of in study.models.items()}
    arms = {f"arms.{name}.{MASKED_LM}": of.masked_lm for name, of in study.arms.items()}
    for where, of in (models | arms).items():
        if of is None or of.text_of_task is None:
            continue
        task, split = of.text_of_task
        with_texts = [name for name in names() if load(name).group != "retrieval"]
        if task not in with_texts:
            raise MissingNameError("task with texts", task, with_texts, where=f"{where}.text")
        if split not in load(task).files:
            raise StudyError(f"{task} has no split {split!r}", where=f"{where}.text")


def _check_mlqa(study: Study) -> None:
    """MLQA's scorer knows the articles and words of its own languages; constructed ones have no articles."""
    if "mlqa" not in study.targets:
        return
    without = [code for code in study.own_languages if code not in load("mlqa").languages and not private_use(code)]
    if without:
        raise StudyError(
            f"MLQA's official scorer has no rule for {', '.join(without)}",
            where="own_languages",
            hint="leave mlqa out, or give a constructed language a code from qaa to qtz",
        )


def _check_labels(target: Task) -> None:
    """The head is trained on the rows of ``trains_on``: it must know the target's labels, in whatever order."""
    if target.trains_on is None:
        return
    rows, shape = load(target.trains_on).type, target.type
    if not isinstance(shape, Classification | Tagging) or not isinstance(rows, Classification | Tagging):
        return
    if shape.labels and rows.labels and set(shape.labels) != set(rows.labels):
        raise StudyError(
            f"{target.name} has the labels {', '.join(shape.labels)}, but it is fine-tuned on {target.trains_on}, which has "
            f"{', '.join(rows.labels)}",
            where="targets",
        )


def _check_measurements(study: Study) -> None:
    """Every measurement can be made of what the study computes."""
    for name, of in study.measurements.items():
        where = f"measurements.{name}"
        for target in of.targets:
            if target not in study.targets:
                raise MissingNameError("target of this study", target, study.targets, where=f"{where}.targets")
        for arm in of.arms or ():
            if arm not in study.arms:
                raise MissingNameError("arm", arm, study.arms, where=f"{where}.arms")
        if of.split not in study.splits:
            raise StudyError(f"the study does not evaluate {of.split}", where=f"{where}.split")
        if of.margin is not None and (study.baseline is None or study.baseline not in (of.arms or study.arms)):
            raise StudyError("arms are compared with the baseline arm, which is not measured", where=f"{where}.arms")
        most = study.limits.evaluation_rows
        if most is not None and of.rows > most:
            raise StudyError(
                f"{of.rows} rows are measured, but only {most} are scored: speed stands beside the score of the same rows",
                where=f"{where}.rows",
                hint=f"at most limits.evaluation_rows: {most}",
            )
        for target in of.targets:
            if load(target).trains_on is not None and of.layers != ("calibrated",):
                raise StudyError(f"layers are for retrieval targets, and {target} is none", where=f"{where}.layers")
