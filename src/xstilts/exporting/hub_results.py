"""Scores as the hub reads them: ``.eval_results/TASK.yaml`` and, in the card's metadata, ``model-index``.

``.eval_results`` names a dataset of the hub, so a score goes there only when it is a score on that dataset: whole test
rows, the published files, every language of the hub's config, and a hub copy that holds the same rows. All scores go to
``model-index``. Format: hub documentation, "Evaluation Results" (one entry: dataset id, task id, value, date, notes).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from xstilts import tasks
from xstilts.exporting.lineage import Lineage, Score
from xstilts.hub.declared import copies
from xstilts.metrics import xtreme

PIPELINES = {
    "classification": "text-classification",
    "multiple_choice": "multiple-choice",
    "tagging": "token-classification",
    "span": "question-answering",
    "retrieval": "sentence-similarity",
    "masked_lm": "fill-mask",
}
"""The hub's name of a shape of task."""


def hub_dataset(task: str, split: str = "train", language: str = "en") -> str | None:
    """The hub id of a task's rows; ``None`` where the hub has none that this package knows."""
    found = copies(task, split, language)
    return found[0].dataset if found else None


def eval_results(known: Lineage) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Entries of ``.eval_results`` by task, and for each scored task without one the reason."""
    entries: dict[str, list[dict[str, Any]]] = {}
    reasons = []
    for target, scores in _by_target(known.scores).items():
        found = _entries(known, target, scores)
        if isinstance(found, str):
            reasons.append(f"{target}: {found}")
        else:
            entries[target] = found
    return entries, reasons


def _entries(known: Lineage, target: str, scores: list[Score]) -> list[dict[str, Any]] | str:
    """The entries of one target, or why there are none."""
    (node, *_) = [of for of in known.scored_by if (of["spec"]["task"], of["spec"]["split"]) == _place(scores)]
    languages = {score.language for score in scores if score.language}
    if scores[0].split != "test":
        return "only its dev rows were scored"
    if not scores[0].direct:
        return "a fine-tuning of this model was scored, not this model"
    if languages & set(known.study.get("own_languages", {})):
        return "rows of the study's own were scored, not the published ones"
    if node["spec"].get("rows") is not None:
        return f"at most {node['spec']['rows']:,} rows of each language were scored"
    if any(at.startswith(f"{target}.test") for at in known.study.get("data", {}).get("files", {})):
        return "files that stand in for the published ones were scored"
    task = tasks.load(target)
    configs: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for language in task.languages_of("test"):
        for copy in copies(target, "test", language)[:1]:
            configs[copy.dataset, copy.config].append(language)
    fetched = {of["path"]: of for of in known.payload.get("hub", {}).get("files", ())}
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        values[score.language].append(score.value)
    found = []
    for (dataset, config), covered in configs.items():
        if not languages >= set(covered):
            continue
        files = [copies(target, "test", language)[0] for language in covered]
        # Rows that are the hub's are all of one commit: some of them, or some of two, are no score on its dataset.
        revisions = {fetched[copy.path]["revision"] if copy.path in fetched else None for copy in files}
        revision = revisions.pop() if len(revisions) == 1 else None
        if revision is None and files[0].differs:
            return f"the hub's copy has other rows ({files[0].differs})"
        of_dataset = {"id": dataset, "task_id": config or "default"}
        if revision is not None:
            of_dataset["revision"] = revision
        value = xtreme.mean(xtreme.mean(values[language]) for language in covered)
        found.append(
            {
                "dataset": of_dataset,
                "value": round(value, 4),
                "date": _finished(known, node),
                "notes": f"zero-shot from {known.stages[0]['spec'].get('source', 'en')}; "
                f"{' and '.join(task.main_score)}, 0 to 100"
                + (f"; the mean over {', '.join(covered)}" if len(covered) > 1 else ""),
            }
        )
    return found or "the hub has no such dataset that this package knows, or not all of its languages were scored"


def _place(scores: list[Score]) -> tuple[str, str]:
    return scores[0].target, scores[0].split


def _finished(known: Lineage, node: Mapping[str, Any]) -> str:
    return str(known.store.record(node["key"])["attempt"]["finished"])[:10]


def model_index(known: Lineage, name: str) -> list[dict[str, Any]]:
    """The metadata's ``model-index``: one result for each scored target, the mean over its languages before each of them."""
    results = []
    for target, scores in _by_target(score for score in known.scores if score.direct).items():
        split = scores[0].split
        own = {score.language for score in scores if score.language} <= set(known.study.get("own_languages", {}))
        title = _title(target) + (" (rows of the study's own in its form)" if own else "")
        # The hub wants a type; a task of ours that it does not have keeps our name.
        language = next(score.language for score in scores if score.language)
        hub_id = None if own else hub_dataset(target, split, language)
        ordered = sorted(scores, key=lambda score: score.language != "")
        results.append(
            {
                "task": {"type": PIPELINES[_shape(target)], "name": title},
                "dataset": {"type": hub_id or target, "name": title, "split": split},
                "metrics": [
                    {
                        "type": score.metric,
                        "value": round(score.value, 2),
                        "name": f"{score.metric} ({score.language or 'mean over languages'})",
                    }
                    for score in ordered
                ],
            }
        )
    return [{"name": name, "results": results}] if results else []


def _by_target(scores: Iterable[Score]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        found[score.target].append(score)
    return found


def _shape(target: str) -> str:
    return tasks.load(target).type.name


def _title(target: str) -> str:
    return tasks.load(target).title


def text_languages(known: Lineage) -> list[str]:
    """XTREME's codes of the languages it learned its tasks in, then of those it was scored in.

    A study's own languages have no code that others know.
    """
    own = set(known.study.get("own_languages", {}))
    learned = [str(stage["spec"]["source"]) for stage in known.stages if "source" in stage["spec"]]
    scored = sorted({score.language for score in known.scores if score.language})
    return [code for code in dict.fromkeys([*learned, *scored]) if code not in own]
