"""Claims about what is run: read in the shipped recipe and in the declarations of the tasks.

They say that our recipe is as the claim says. Whether the paper's runs were, only the paper can say.
"""

from __future__ import annotations

from collections import Counter

from xstilts import tasks
from xstilts.claims.claim import RECIPE, Evidence, Finding
from xstilts.claims.data_claims import languages_here
from xstilts.published.numbers import PAPER_MODEL
from xstilts.study import Study

ENGLISH = "en"
IN_WORDS = {
    "classification": "sentence-pair classification",
    "span": "question answering",
    "multiple_choice": "multiple choice (sentence completion among them)",
    "tagging": "tagging",
}


def _said(true: bool, evidence: str, note: str = "") -> Finding:
    return Finding("holds" if true else "contradicted", evidence, note=note)


def base_model(evidence: Evidence) -> Finding:
    """Every model of the paper's recipes is the pretrained XLM-R Large."""
    models = {
        f"{name}: {model}": (choice.id or choice.path or "made from scratch", choice)
        for name, recipe in evidence.recipes.items()
        if name == RECIPE or name.startswith(f"{RECIPE}-")
        for model, choice in recipe.models.items()
    }
    true = all(
        choice.pretrain is None
        and not choice.keep_layers
        and evidence.published.model_of(choice.id, choice.path) == PAPER_MODEL
        for _, choice in models.values()
    )
    return _said(true, "; ".join(f"{name} = {source}" for name, (source, _) in models.items()))


def nine_targets(evidence: Evidence) -> Finding:
    """The recipe's targets are XTREME's nine."""
    found = evidence.recipe.targets
    nine = {task.name for task in tasks.targets()}
    return _said(set(found) == nine and len(found) == 9, f"{RECIPE} has {len(found)} targets: {', '.join(found)}")


def forty_languages(evidence: Evidence) -> Finding:
    """The largest target has 40 languages, all together are 40, and all training rows are English."""
    found = [tasks.load(name) for name in evidence.recipe.targets]
    most = max(found, key=lambda task: len(task.languages))
    every = {language for task in found for language in task.languages}
    true = len(most.languages) == len(every) == 40 and evidence.recipe.languages == "all"
    sources = sorted(_sources(evidence.recipe))
    seen = (
        f"{len(most.languages)} languages in {most.name}, {len(every)} in all together; trained on {', '.join(sources)}"
    )
    true = true and sources == [ENGLISH]
    return _said(true, seen, languages_here(evidence))


def _sources(recipe: Study) -> set[str]:
    """Every language in which an arm has training rows."""
    return {recipe.source_of(arm, role) for arm in recipe.arms for role in ("intermediate", "target")}


def retrieval_without_training(evidence: Evidence) -> Finding:
    """BUCC and Tatoeba declare no training rows, and no arm learns them."""
    pair = [tasks.load("bucc2018"), tasks.load("tatoeba")]
    true = all(task.trains_on is None and "train" not in task.files for task in pair)
    learned = {name for arm in evidence.recipe.arms.values() for name in arm.tasks}
    true = true and learned.isdisjoint(task.name for task in pair)
    seen = "; ".join(f"{task.name} has the splits {', '.join(task.files)}" for task in pair)
    return _said(true, seen, "BUCC's published 'training' set is XTREME's test set: nothing is trained on it.")


def nine_intermediate(evidence: Evidence) -> Finding:
    """The recipe's single-task arms are the nine English intermediate tasks, of four shapes."""
    nine = tasks.intermediate()
    arms = {arm.intermediate for arm in evidence.recipe.arms.values() if isinstance(arm.intermediate, str)}
    shapes = Counter(task.type.name for task in nine)
    true = arms == {task.name for task in nine} and len(nine) == 9 and all("en" in t.languages for t in nine)
    true = true and set(shapes) == set(IN_WORDS) and _sources(evidence.recipe) == {ENGLISH}
    seen = ", ".join(f"{IN_WORDS.get(shape, shape)} {count}" for shape, count in shapes.items())
    return _said(true, f"{len(arms)} arms with one intermediate task; the shapes of the nine: {seen}")


def three_phases(evidence: Evidence) -> Finding:
    """A published masked LM, then the intermediate task, then the target's own training; no training for retrieval."""
    recipe = evidence.recipe
    with_task = [name for name, arm in recipe.arms.items() if arm.learned]
    tuned = [name for name in recipe.targets if tasks.load(name).trains_on is not None]
    pretrained = all(model.pretrain is None for model in recipe.models.values())
    true = pretrained and len(with_task) == len(recipe.arms) - 1 and recipe.baseline is not None and bool(tuned)
    seen = (
        f"1 published weights of {', '.join(recipe.models)}; 2 in {len(with_task)} of {len(recipe.arms)} arms (the baseline "
        f"arm skips it); 3 for {len(tuned)} of {len(recipe.targets)} targets (retrieval skips it)"
    )
    return _said(true, seen)
