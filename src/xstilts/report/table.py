"""The zero-shot table: arms x targets, official averages, deltas over the baseline arm; one model, several formats."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from xstilts.tasks import load, targets

Group = tuple[str, str, str, int]  # model, arm, target, seed


@dataclass(frozen=True)
class Entry:
    """One place of a table: the mean over seeds, its delta over the baseline arm, and marks."""

    value: float | None
    spread: float | None = None
    delta: float | None = None
    marks: str = ""

    def text(self) -> str:
        """``71.3 +2.1*`` or a dash."""
        if self.value is None:
            return "–"
        spread = "" if self.spread is None else f"±{self.spread:.1f}"
        delta = "" if self.delta is None else f" {self.delta:+.1f}"
        return f"{self.value:.1f}{spread}{delta}{self.marks}"


@dataclass(frozen=True)
class Table:
    """A titled grid of entries with notes below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    notes: tuple[str, ...]


def zero_shot_table(
    rows: Sequence[Mapping[str, Any]],
    study: Mapping[str, Any],
    model: str,
    split: str,
    declared: Mapping[str, Mapping[str, Any]] | None = None,
) -> Table:
    """Arms x targets for one model and split.

    ``declared`` says the ``group`` and ``languages`` of targets as the store recorded them: those from outside the package
    are known to nobody else. Shipped ones may be left out.

    A target's number is the plain mean over the languages scored here (XTREME's rule, the source language included where
    listed) of the mean of its main metrics; then ``avg`` over the targets shown, the same without retrieval, without the
    source language, and the transfer gap (source minus the mean of the others, over targets that have both).
    """
    chosen = [r for r in rows if r["model"] == model and r["split"] == split and r["value"] is not None]
    scores = _language_scores(chosen)
    shown = [t for t in study["targets"] if any(g[2] == t for g in scores)]
    facts = {t: (declared or {}).get(t) or {"group": load(t).group, "languages": load(t).languages} for t in shown}
    fine_tuned = [t for t in shown if facts[t]["group"] != "retrieval"]
    arms, source = list(study["arms"]), study["source"]
    baseline = next((a for a in arms if study["arms"][a]["intermediate"] is None), None)
    marks = {(r["arm"], r["target"]): "!" for r in chosen if r["status"] in ("chance", "collapsed")}
    grid = {
        arm: {
            **{t: _over_seeds(scores, model, arm, [t], study["seeds"], None) for t in shown},
            "avg": _over_seeds(scores, model, arm, shown, study["seeds"], None),
            "no retr.": _over_seeds(scores, model, arm, fine_tuned, study["seeds"], None),
            f"no {source}": _over_seeds(scores, model, arm, shown, study["seeds"], source),
            "gap": _gaps(scores, model, arm, shown, study["seeds"], source),
        }
        for arm in arms
    }
    columns = (*shown, "avg", "no retr.", f"no {source}", "gap")
    body = []
    for arm in arms:
        entries = []
        for column in columns:
            base = grid[baseline][column] if baseline is not None and arm != baseline else []
            entries.append(_entry(grid[arm][column], base, marks.get((arm, column), "")))
        body.append((arm, tuple(entries)))
    return Table(f"{model}, {split}", columns, tuple(body), tuple(_notes(chosen, study, model, facts, bool(marks))))


def _language_scores(rows: Iterable[Mapping[str, Any]]) -> dict[Group, dict[str, float]]:
    parts: dict[Group, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        parts[row["model"], row["arm"], row["target"], row["seed"]][row["language"]].append(row["value"])
    return {group: {lang: statistics.fmean(v) for lang, v in langs.items()} for group, langs in parts.items()}


def _over_seeds(
    scores: Mapping[Group, Mapping[str, float]],
    model: str,
    arm: str,
    names: Sequence[str],
    seeds: Sequence[int],
    without: str | None,
) -> list[float]:
    """For each seed the mean over ``names`` of the mean over languages; empty unless all of them are there."""
    found = []
    for seed in seeds:
        means = []
        for name in names:
            values = [v for lang, v in scores.get((model, arm, name, seed), {}).items() if lang != without]
            if values:
                means.append(statistics.fmean(values))
        if means and len(means) == len(names):
            found.append(statistics.fmean(means))
    return found


def _gaps(
    scores: Mapping[Group, Mapping[str, float]],
    model: str,
    arm: str,
    names: Sequence[str],
    seeds: Sequence[int],
    source: str,
) -> list[float]:
    found = []
    for seed in seeds:
        gaps = []
        for name in names:
            languages = scores.get((model, arm, name, seed), {})
            others = [v for lang, v in languages.items() if lang != source]
            if source in languages and others:
                gaps.append(languages[source] - statistics.fmean(others))
        if gaps:
            found.append(statistics.fmean(gaps))
    return found


def _entry(values: Sequence[float], base: Sequence[float], marks: str) -> Entry:
    if not values:
        return Entry(None)
    spread = statistics.stdev(values) if len(values) > 1 else None
    delta = statistics.fmean(values) - statistics.fmean(base) if base else None
    return Entry(statistics.fmean(values), spread, delta, marks)


def _notes(
    rows: Sequence[Mapping[str, Any]],
    study: Mapping[str, Any],
    model: str,
    facts: Mapping[str, Mapping[str, Any]],
    marked: bool,
) -> list[str]:
    languages: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        languages[row["target"]].add(row["language"])
    notes = []
    scored = ", ".join(f"{t} {len(languages[t])}/{len(f['languages'])}" for t, f in facts.items())
    notes.append(f"Languages scored / in XTREME: {scored}.")
    whole = all(len(languages[t]) == len(f["languages"]) for t, f in facts.items())
    if not whole or set(facts) != {t.name for t in targets()}:
        notes.append("This is not XTREME's overall score: that needs all nine tasks in all their languages.")
    limit = study["limits"]
    if limit["train_rows"] or limit["evaluation_rows"]:
        most = limit["train_rows"]
        shown_rows = ", ".join(f"{k} {v}" for k, v in most.items()) if isinstance(most, dict) else most or "all"
        notes.append(
            f"At most {limit['evaluation_rows'] or 'all'} evaluation rows a language; retrieval pools are whole. "
            f"Training rows at most: {shown_rows}."
        )
    if len(study["seeds"]) == 1:
        notes.append("One seed: differences of about a point are no evidence.")
    for key, files in study["data"]["files"].items():
        notes.append(f"Rows of {key} come from {', '.join(files)}, not from the published file.")
    if any(r["selection"] == "threshold_from_same_dev" for r in rows):
        notes.append("bucc2018: the threshold was set on the same dev pairs that are scored.")
    if study["models"][model]["note"]:
        notes.append(study["models"][model]["note"].strip())
    notes.extend(text.strip() for text in study["notes"].values())
    if marked:
        notes.append("! in at least one language the score is at chance, or the model gives one constant answer.")
    return notes


def print_table(table: Table, console: Console) -> None:
    """The table in a terminal."""
    drawn = RichTable(title=table.title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    drawn.add_column("arm", style="bold", no_wrap=True)
    for column in table.columns:
        drawn.add_column(column, justify="right", no_wrap=True)
    for arm, entries in table.rows:
        drawn.add_row(arm, *(e.text() for e in entries))
    console.print(drawn)
    for note in table.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    console.print()


def markdown(table: Table) -> str:
    """The table in Markdown."""
    lines = [f"### {table.title}", "", "| arm | " + " | ".join(table.columns) + " |"]
    lines.append("|---|" + "---:|" * len(table.columns))
    lines += [f"| {arm} | " + " | ".join(e.text() for e in entries) + " |" for arm, entries in table.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])
