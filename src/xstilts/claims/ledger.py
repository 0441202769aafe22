"""The nineteen claims, each bound to its check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from xstilts.claims import data_claims, recipe_claims, study_claims
from xstilts.claims.claim import RECIPE, Claim, Evidence, Finding
from xstilts.claims.cost import cost
from xstilts.claims.study_claims import INTERMEDIATE, NINE, Decide, Measure
from xstilts.published.compare import change_table
from xstilts.published.numbers import AVERAGE, Number


def ledger(evidence: Evidence) -> list[tuple[Claim, Finding]]:
    """Every claim with what its check finds now."""
    return [(claim, claim.check(evidence)) for claim in CLAIMS]


def _average(measure: Measure, value: float, names: tuple[str, ...], printed: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        return study_claims.settle(
            evidence,
            NINE,
            measure,
            study_claims.is_value(value),
            settles=_run(evidence, names, RECIPE if len(names) == 1 else f"{RECIPE}-multitask"),
            printed=_printed(evidence, printed, AVERAGE),
        )

    return check


def _arms(targets: tuple[str, ...], decide: Decide) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        return study_claims.settle(
            evidence,
            targets,
            study_claims.each_arm(*targets),
            decide,
            needs=len(INTERMEDIATE) * len(targets),
            settles=_run(evidence),
            printed=_printed_arms(evidence, targets),
        )

    return check


def _forms(measure: Measure, recipe: str) -> Callable[[Evidence], Finding]:
    """English arms and their other forms, which are in ``recipe``."""

    def check(evidence: Evidence) -> Finding:
        text = " (without the text of masked LM)" if recipe.endswith("mlm") else ""
        return study_claims.settle(
            evidence,
            NINE,
            measure,
            study_claims.is_above,
            settles=f"{_run(evidence, recipe=recipe)}{text}",
            printed="The abstract says that neither form consistently beats plain English training [read ABS3].",
        )

    return check


def _best(evidence: Evidence) -> Finding:
    return study_claims.settle(
        evidence,
        NINE,
        study_claims.best_per_target,
        study_claims.is_value(5.4),
        splits=lambda target: "test",
        arms_of=INTERMEDIATE,
        settles=_run(evidence),
        printed=_submission(evidence),
    )


def _run(evidence: Evidence, tasks: tuple[str, ...] = (), recipe: str = RECIPE) -> str:
    """The command that settles it, and its price: of the arm that learned ``tasks``, or of all arms."""
    study = evidence.recipes.get(recipe)
    if study is None:
        return f"the recipe {recipe}, which is not here"
    arms = [arm for arm in study.arms.values() if arm.learned and (not tasks or set(arm.tasks) == set(tasks))]
    return f"xstilts run {recipe} --data DIR --store DIR; for this claim {cost(study, arms).text}"


def _printed(evidence: Evidence, arm: str, target: str) -> str:
    numbers = evidence.published.find(arm, target)
    return f"Printed for {arm}: {', '.join(map(_marked, numbers))}." if numbers else ""


def _printed_arms(evidence: Evidence, targets: tuple[str, ...]) -> str:
    table: Mapping[str, Mapping[str, float]] = change_table(evidence.published)
    found = []
    for target in targets:
        said = [f"{arm} {of[target]:+.1f}" for arm, of in table.items() if target in of]
        found.append(f"{target}: {', '.join(said)}")
    return f"The paper's dev table from memory [recalled*], {'; '.join(found)}."


def _marked(number: Number) -> str:
    return f"{number.text} [{number.mark} {number.source}]"


def _submission(evidence: Evidence) -> str:
    find = evidence.published.find
    base, best = (find(arm, AVERAGE, unit="score") for arm in ("none", "best-per-target"))
    printed = find("best-per-target", AVERAGE)
    return (
        f"Printed: {', '.join(map(_marked, printed))}; the nine-task means are {', '.join(map(_marked, best))} and "
        f"{', '.join(map(_marked, base))}."
    )


_masked = study_claims.plain_against(study_claims.with_masked_lm, "over the same with masked LM, on average")
_translated = study_claims.plain_against(study_claims.with_translation, "over the same translated, on average")
_interval = (
    f"the 95 % t-interval over seeds lies within {study_claims.MARGIN:g} point of it (and {study_claims.ROUNDING:g} for its "
    "rounding); wholly outside of that contradicts"
)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "C01",
        "all experiments start from pretrained XLM-R Large",
        (True, 0.15),
        "config",
        "every model of the paper's recipes is its published weights",
        recipe_claims.base_model,
    ),
    Claim(
        "C02",
        "experiments cover 9 XTREME target tasks",
        (False, 0.10),
        "config",
        "the recipe's targets are XTREME's nine",
        recipe_claims.nine_targets,
    ),
    Claim(
        "C03",
        "XTREME evaluates zero-shot transfer across up to 40 languages per task",
        (False, 0.13),
        "config + data",
        "the largest target has 40 languages, all together are 40; training rows are English only",
        recipe_claims.forty_languages,
    ),
    Claim(
        "C04",
        "SQuAD as intermediate task improves the dev average by 8.2 points",
        (True, 0.19),
        "study",
        f"SQuAD v1.1, else v2.0; {_interval}",
        _average(study_claims.average_of(("squad_v1",), ("squad_v2",)), 8.2, ("squad_v1",), "squad_v1"),
    ),
    Claim(
        "C05",
        "MNLI improves the dev average by 7.5 points",
        (True, 0.18),
        "study",
        _interval,
        _average(study_claims.average_of(("mnli",)), 7.5, ("mnli",), "mnli"),
    ),
    Claim(
        "C06",
        "HellaSwag improves the dev average by 7.0 points",
        (True, 0.19),
        "study",
        _interval,
        _average(study_claims.average_of(("hellaswag",)), 7.0, ("hellaswag",), "hellaswag"),
    ),
    Claim(
        "C07",
        "multi-task training on all nine improves the dev average by 8.7 points",
        (True, 0.16),
        "study",
        _interval,
        _average(study_claims.average_of(INTERMEDIATE), 8.7, INTERMEDIATE, "multitask"),
    ),
    Claim(
        "C08",
        "BUCC and Tatoeba improve dramatically with almost every intermediate task",
        (True, 0.22),
        "study",
        f"both by more than {study_claims.DRAMATIC:g} points in at least 8 of the 9 arms",
        _arms(("bucc2018", "tatoeba"), study_claims.most_gain(study_claims.DRAMATIC, 8)),
    ),
    Claim(
        "C09",
        "BUCC and Tatoeba have no training data of their own",
        (True, 0.19),
        "config + data",
        "the two tasks declare no training rows, and no arm learns them",
        recipe_claims.retrieval_without_training,
    ),
    Claim(
        "C10",
        "TyDiQA improves consistently with many intermediate tasks",
        (True, 0.15),
        "study",
        "it improves in at least 5 of the 9 arms",
        _arms(("tydiqa",), study_claims.most_gain(0.0, 5)),
    ),
    Claim(
        "C11",
        "XNLI does not benefit from intermediate training",
        (False, 0.09),
        "study",
        "no arm's interval lies above 0, and none reaches half a point",
        _arms(("xnli",), study_claims.none_gains),
    ),
    Claim(
        "C12",
        "the best model per target gives +5.4 on average on the XTREME test sets",
        (True, 0.28),
        "study",
        "chosen on dev (on test where there are no dev rows) of all arms with English tasks, each of the nine alone among "
        f"them; {_interval}",
        _best,
    ),
    Claim(
        "C13",
        "English intermediate training beats continuing multilingual masked LM during it",
        (True, 0.23),
        "study",
        "the mean over pairs of arms without and with masked LM (two or more foreign languages); its interval lies above 0",
        _forms(_masked, f"{RECIPE}-mlm"),
    ),
    Claim(
        "C14",
        "English intermediate training beats machine-translated intermediate data",
        (True, 0.23),
        "study",
        "the mean over pairs of arms with English and with translated rows; its interval lies above 0",
        _forms(_translated, f"{RECIPE}-translated"),
    ),
    Claim(
        "C15",
        "nine English intermediate tasks: question answering, tagging, sentence completion, sentence-pair classification",
        (True, 0.22),
        "config",
        "the recipe's single-task arms are the nine, and their shapes are these",
        recipe_claims.nine_intermediate,
    ),
    Claim(
        "C16",
        "ANLI+ has 1,104,934 training examples",
        (False, 0.07),
        "data",
        "rows counted by the task's reader",
        partial(data_claims.training_rows, "anli_plus", 1_104_934),
    ),
    Claim(
        "C17",
        "MNLI has 392,702 training examples",
        (False, 0.10),
        "data",
        "rows counted by the task's reader",
        partial(data_claims.training_rows, "mnli", 392_702),
    ),
    Claim(
        "C18",
        "SQuAD v2.0 has 130,319 training examples",
        (False, 0.09),
        "data",
        "rows counted by the task's reader",
        partial(data_claims.training_rows, "squad_v2", 130_319),
    ),
    Claim(
        "C19",
        "three phases: masked-LM pre-training, English intermediate training, fine-tuning on the target task",
        (True, 0.23),
        "config",
        "the recipe starts from published weights, trains each arm's task, then each trained target",
        recipe_claims.three_phases,
    ),
)
