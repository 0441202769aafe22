"""The model card: README.md of an exported folder, its metadata first. Only what the store's records say."""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from xstilts.exporting import hub_results
from xstilts.exporting.licences import Licence
from xstilts.exporting.lineage import LEVEL, Lineage, Score
from xstilts.report.data_used import DataUsed, citations
from xstilts.report.grid import NOTHING
from xstilts.report.sources import source_of

NUMERIC = frozenset("0123456789+-")
MADE_WITH = ("xstilts", "python", "torch", "transformers", "tokenizers")
F1 = {"tagging": "chunk F1", "qa": "answer F1", "retrieval": "pair F1"}
"""What ``f1`` is of, by the group of the target."""
METHOD = """@inproceedings{phang-2020-english,
  title = {English Intermediate-Task Training Improves Zero-Shot Cross-Lingual Transfer Too},
  author = {Phang, Jason and Calixto, Iacer and Htut, Phu Mon and Pruksachatkun, Yada and Liu, Haokun and Vania, Clara
    and Kann, Katharina and Bowman, Samuel R.},
  booktitle = {Proceedings of AACL-IJCNLP},
  year = {2020}
}"""


@dataclass(frozen=True)
class Content:
    """What a card is made of.

    Args:
        name: of the exported folder.
        shape: of the task its head was trained for; ``retrieval`` for an encoder without one.
        library: ``transformers`` or ``sentence-transformers``.
        load: Python lines that load it.
        about: what it is and is for, in paragraphs.
        known: its lineage; ``None`` for a folder that lies in no store.
        used: the data behind it and its scores.
        licence: see ``licences``.
        has_study: a study file lies beside the card.
    """

    name: str
    shape: str
    library: str
    load: str
    about: Sequence[str]
    known: Lineage | None
    used: Sequence[DataUsed]
    licence: Licence
    has_study: bool


def card(content: Content) -> str:
    """The whole README.md."""
    head = yaml.safe_dump(metadata(content), sort_keys=False, allow_unicode=True, width=110)
    parts = [f"---\n{head}---", f"# {content.name}", *content.about]
    parts += ["## How to load it", f"```python\n{content.load}\n```"]
    parts += ["## What it was trained on", *_training(content)]
    parts += ["## Zero-shot scores", *_scores(content)]
    parts += ["## Limits", "\n".join(f"- {limit}" for limit in _limits(content))]
    parts += ["## Licences of the model and the data", *_licences(content)]
    parts += ["## Make it again", *_reproduction(content)]
    if said := citations(content.used):
        method = METHOD + "\n\n" if content.known else ""
        parts += ["## Cite", f"```bibtex\n{method}{said}\n```"]
    return "\n\n".join(parts) + "\n"


def metadata(content: Content) -> dict[str, Any]:
    """The card's YAML, in the hub's fields; those that nobody knows are left out."""
    known, trained = content.known, [of for of in content.used if of.trained and not of.own]
    datasets = [hub_results.hub_dataset(of.name) for of in trained if not of.stand_ins]
    tags = ["xstilts", "cross-lingual-transfer", "intermediate-task-training"]
    if content.library == "sentence-transformers":
        tags = ["sentence-transformers", "feature-extraction", "sentence-similarity", *tags]
    found: dict[str, Any] = {
        "language": hub_results.text_languages(known) if known else [],
        "license": content.licence.name,
        "license_name": "see-the-card" if content.licence.name == "other" else None,
        "library_name": content.library,
        "pipeline_tag": _pipeline(content),
        "base_model": known.choice.get("id") if known else None,
        "tags": tags,
        "datasets": list(dict.fromkeys(d for d in datasets if d is not None)),
        "metrics": list(dict.fromkeys(score.metric for score in known.scores)) if known else [],
        "model-index": hub_results.model_index(known, content.name) if known else [],
    }
    return {field: value for field, value in found.items() if value}


def _pipeline(content: Content) -> str:
    """An encoder without a head gives features; one that pools them compares sentences."""
    bare = content.shape == "retrieval" and content.library == "transformers"
    return "feature-extraction" if bare else hub_results.PIPELINES[content.shape]


def _training(content: Content) -> Iterator[str]:
    known = content.known
    if known is None:
        yield "No record of its training lies beside it: it was exported from a folder that is in no store."
        return
    rows = [row for stage in reversed(known.stages) for row in _stage_rows(stage)]
    base = known.choice.get("id") or (None if known.choice.get("pretrain") else known.labels.get("model"))
    revision = f" at revision {code(known.choice['revision'])}" if known.choice.get("revision") else ""
    start = f"Start: {code(base)}{revision}. " if base else "Start: made from scratch. "
    arm = f"Arm {code(known.labels['arm'])}" if known.labels.get("arm") else "No arm"
    study = f" of the study {code(known.study['name'])}" if known.study else ""
    seed = f", seed {known.labels['seed']}" if known.labels.get("seed") is not None else ""
    yield f"{start}{arm}{study}{seed}. Stages, in order:"
    yield _table(("stage", "learned from", "language", "rows", "steps", "batch", "rate", "precision", "key"), rows)
    for at, files in sorted(known.study.get("data", {}).get("files", {}).items()):
        if any(of.name == at.partition(".")[0] for of in content.used):
            yield f"Rows of {code(at)} come from {', '.join(code(file) for file in files)}, not from the published file."
    for of, how in known.payload.get("translated", {}).items():
        yield f"In this study rows of {code(of)} are {_plain(how)}."


def _stage_rows(stage: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One line for a stage, one for each part of a mixture."""
    spec, attempt, kind = stage["spec"], stage["attempt"], stage["kind"]
    what = stage["labels"].get("role") or kind
    training = spec.get("training") or spec.get("settings", {}).get("training") or {}
    steps = attempt.get("training", {}).get("steps") or attempt.get("steps")
    shared = (
        _number(training.get("batch_size")),
        f"{training['learning_rate']:g}" if training else "",
        str(spec.get("precision", "")),
        f"`{stage['key'][:12]}`",
    )
    source = str(spec.get("source", ""))
    if kind == "mix":
        for name, part in spec["parts"].items():
            told = attempt.get("tasks", {}).get(name, {})
            language = ", ".join(part["text"]) if "text" in part else source
            yield what, f"`{name}`", language, _number(told.get("rows_trained_on")), _number(told.get("steps")), *shared
    elif kind == "pretrain":
        yield "pre-training", "masked LM on plain text", ", ".join(spec["text"]), "", _number(steps), *shared
    elif kind == "prune":
        yield "layers dropped", "", "", "", "", *shared
    else:
        yield what, f"`{spec['task']}`", source, _number(attempt.get("rows_trained_on")), _number(steps), *shared


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _scores(content: Content) -> Iterator[str]:
    known = content.known
    if known is None or not known.scores:
        yield "None are recorded of what this folder holds."
        return
    seeds = max(len(score.seeds) for score in known.scores)
    yield (
        "In points, by the official metrics of each task (retrieval at the layer its rule chose); `mean` is over the "
        "languages shown. "
        + (
            f"`arm` is the mean over the {seeds} seeds of this arm, with the {LEVEL:.0%} t-interval, cut at 0 and 100: it "
            "tells what the recipe gives, and this model is one draw of it."
            if seeds > 1
            else "One seed: there is no interval, and a difference from another model is no evidence by itself."
        )
    )
    targets = dict.fromkeys((score.target, score.split, score.direct) for score in known.scores)
    for target, split, direct in targets:
        of_target = [s for s in known.scores if (s.target, s.split, s.direct) == (target, split, direct)]
        metrics = list(dict.fromkeys(score.metric for score in of_target))
        languages = list(dict.fromkeys(score.language for score in of_target))
        group = known.payload.get("targets", {}).get(target, {}).get("group")
        yield _scores_of(known, target, split, direct, languages, group)
        called = [F1.get(group, metric) if metric == "f1" else metric.replace("_", " ") for metric in metrics]
        heads = [name for metric in called for name in (metric, *(["arm"] if seeds > 1 else []), "guessing")]
        rows = []
        for language in languages:
            of = [score for score in of_target if score.language == language]
            by_metric = [next((s for s in of if s.metric == metric), None) for metric in metrics]
            numbers = [text for score in by_metric for text in _numbers(score, seeds, metrics[0])]
            rows.append((language or "**mean**", f"{of[0].count:,}", *numbers))
        yield _table(("language", "rows", *heads), rows)
    if any(score.status != "ok" for score in known.scores):
        yield "! at chance, or one constant answer; at a mean: so in at least one of its languages."


def _scores_of(
    known: Lineage, target: str, split: str, direct: bool, languages: Sequence[str], group: str | None
) -> str:
    """The line above a table: what was scored, and in which of the languages the task was learned."""
    how = "" if direct else ", **after fine-tuning this model** on the task's own training rows"
    arm = str(known.labels.get("arm"))
    learned = source_of(known.study, arm) if arm in known.study.get("arms", {}) and group != "retrieval" else None
    but = f", zero-shot but for {code(learned)}" if learned in languages else ""
    return f"**{target}**, {split} rows{how}{but}:"


def _numbers(score: Score | None, seeds: int, main: str) -> list[str]:
    if score is None:
        return ["", *([""] if seeds > 1 else []), ""]
    value = f"{score.value:.1f}{'' if score.status == 'ok' else '!'}"
    guess = "" if score.guess is None or score.metric != main else f"{score.guess:.1f}"
    if seeds == 1:
        return [value, guess]
    arm = f"{sum(score.seeds) / len(score.seeds):.1f}"
    if score.limits is not None:
        low, high = score.limits
        arm += f" [{max(low, 0):.1f}, {min(high, 100):.1f}]"
    return [value, arm, guess]


def _limits(content: Content) -> Iterator[str]:
    known = content.known
    if known is None:
        yield "Nothing is known here of how good it is, and in which languages."
        return
    own = known.study.get("own_languages", {})
    if own:
        named = ", ".join(f"{_plain(language)} {_plain(of['name'])}" for language, of in own.items())
        yield f"Languages that mean something else here than elsewhere: {named}."
    yield "Languages that are not in the tables were not looked at."
    rows = [node["spec"].get("rows") for node in known.scored_by]
    if most := max((count for count in rows if count), default=0):
        yield f"Scores are of at most {most:,} rows of each language, so they are not scores of the whole test sets."
    read = [part for stage in known.stages for part in (stage["spec"], *stage["spec"].get("parts", {}).values())]
    if any(part.get("rows") for part in read):
        yield "It was trained on a part of the rows there are: see the table of stages."
    if known.choice.get("note"):
        yield f"Of the base model the study says: {_plain(known.choice['note'])}"
    yield from (f"The study says: {_plain(text)}" for text in known.study.get("notes", {}).values())
    yield "It gives no reasons, knows nothing after its training rows, and repeats their biases. Check it on your own text."


def _licences(content: Content) -> Iterator[str]:
    licence = content.licence
    if licence.name == "other":
        yield f"`other`: {'; '.join(licence.reasons)}. You decide whether your use is allowed."
    else:
        yield f"`{licence.name}`, as the base model; the training rows ask for no more than attribution."
    if content.used:
        yield _table(("data", "used for", "licence", "paper", "address"), [_used_row(of) for of in content.used])


def _used_row(of: DataUsed) -> tuple[str, ...]:
    uses = [name for name, does in (("training", of.trained), ("scores", of.scored)) if does]
    if of.own:
        return f"the study's own rows in the form of {of.title}", ", ".join(uses), "theirs to say", "", ""
    return of.title, ", ".join(uses), of.licence, of.paper, f"<{of.address}>" if of.address else ""


def _reproduction(content: Content) -> Iterator[str]:
    known = content.known
    if known is None:
        yield "Not known."
        return
    attempt = known.stages[0]["attempt"]
    versions = attempt.get("versions", {})
    named = ", ".join(f"{name} {versions[name]}" for name in MADE_WITH if name in versions)
    yield f"Made with {named}, on {attempt.get('device', 'an unknown device')}."
    if not content.has_study:
        yield f"Its study is not recorded in a form that this version can write; the node's key is `{known.key}`."
        return
    place = (
        " --model " + shlex.quote(" ".join(f"{known.labels['model']}=FOLDER".split()))
        if known.choice.get("path")
        else ""
    )
    commands = (
        f"xstilts run study.yaml --data DATA --store STORE{place}",
        f"xstilts why {known.key[:12]} --store STORE",
    )
    yield "```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```"
    yield (
        "`study.yaml` lies beside this card. Equal rows, an equal base model and equal code give a node of the key "
        f"`{known.key}`."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The columns that have anything; numbers stand right."""
    columns = [(head, [row[place] for row in rows]) for place, head in enumerate(heads)]
    columns = [(head, texts) for head, texts in columns if any(texts)]
    marks = ["---:" if all(text[0] in NUMERIC for text in texts if text) else "---" for _, texts in columns]
    body = zip(*(texts for _, texts in columns), strict=True)
    lines = [[head for head, _ in columns], marks, *([text or NOTHING for text in line] for line in body)]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(name: object) -> str:
    """A name of the user's own as code, in which Markdown and HTML mean nothing."""
    return "`" + " ".join(str(name).split()).replace("`", "'") + "`"


def _plain(text: str) -> str:
    """The user's own words on one line, no HTML in them."""
    return html.escape(" ".join(text.split()), quote=False)
