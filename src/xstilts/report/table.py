"""The zero-shot table: arms x targets, official averages, deltas over the baseline arm; one model, several formats."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from xstilts.metrics import xtreme
from xstilts.report.grid import Grid, grid_markdown, parts_in, print_grid
from xstilts.report.sources import baseline_of, learned, source_notes, source_of
from xstilts.tasks import load, targets

Place = tuple[str, str, int]  # arm, target, seed
SeedValues = dict[int, float]
Guesses = Mapping[tuple[str, str], Mapping[str, float]]
"""(target, split) -> language -> what guessing scores."""
CHANCE = "chance"


@dataclass(frozen=True)
class Entry:
    """One place of a table: the mean over seeds, its delta over the baseline arm, and marks."""

    value: float | None
    spread: float | None = None
    delta: float | None = None
    marks: str = ""

    def text(self) -> str:
        """``71.3 +2.1!`` or a dash."""
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
    first: str = "arm"  # what the rows are


def zero_shot_table(
    rows: Sequence[Mapping[str, Any]],
    study: Mapping[str, Any],
    model: str,
    split: str,
    declared: Mapping[str, Mapping[str, Any]] | None = None,
    guesses: Guesses | None = None,
) -> Table:
    """Arms x targets for one model and split.

    ``declared`` says the ``group`` and ``languages`` of targets as the store recorded them: those from outside the package
    are known to nobody else. Shipped ones may be left out. ``guesses`` makes the last line: what guessing scores.

    A target's number is the plain mean over the languages scored here (XTREME's rule, the source language included where
    listed) of the mean of its main metrics; then ``avg`` over the targets shown, the same without retrieval, without the
    languages that any arm learns in, and the transfer gap (the arm's source minus the mean of those, over targets that have
    both). A seed counts only if it has every language that any arm has; a delta is over the seeds that both arms have.
    """
    chosen = [r for r in rows if r["model"] == model and r["split"] == split and r["value"] is not None]
    shown = [t for t in study["targets"] if any(r["target"] == t for r in chosen)]
    facts = {t: (declared or {}).get(t) or {"group": load(t).group, "languages": load(t).languages} for t in shown}
    fine_tuned = [t for t in shown if facts[t]["group"] != "retrieval"]
    arms, seeds = list(study["arms"]), list(study["seeds"])
    at_chance = {(r["arm"], r["target"]) for r in chosen if r["status"] in ("chance", "collapsed")}
    averages = _Averages(chosen, shown, fine_tuned, study)
    copies = False
    body = []
    for arm in arms:
        entries, baseline = [], baseline_of(study, arm)
        for column in averages.columns:
            values = averages.over_seeds(arm, column, seeds)
            base = averages.over_seeds(baseline, column, seeds) if baseline is not None else {}
            same = averages.one_run(arm, column, values)
            copies = copies or same
            entries.append(entry(values, base, len(seeds), "!" if (arm, column) in at_chance else "", spread=not same))
        body.append((arm, tuple(entries)))
    if guessed := {t: xtreme.mean(of.values()) for t in shown if (of := (guesses or {}).get((t, split)))}:
        body.append((CHANCE, tuple(Entry(guessed.get(column)) for column in averages.columns)))
    notes = [
        *_coverage_notes(chosen, facts, study.get("own_languages", {})),
        *_evidence_notes(chosen, study, fine_tuned, copies),
        *source_notes(study),
        *_origin_notes(chosen, study, model),
    ]
    if at_chance:
        notes.append("! in at least one language the score is at chance, or the model gives one constant answer.")
    if any("seeds" in e.marks for _, entries in body for e in entries):
        notes.append(
            "n/m seeds: only n of the study's m seeds are complete there; deltas are over seeds both arms have."
        )
    return Table(f"{model}, {split}", averages.columns, tuple(body), tuple(notes))


class _Averages:
    """Every column's number for one arm and seed, by XTREME's averages over one set of targets and languages."""

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        shown: Sequence[str],
        fine_tuned: Sequence[str],
        study: Mapping[str, Any],
    ) -> None:
        parts: dict[Place, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        languages: dict[str, set[str]] = defaultdict(set)
        self.runs: dict[Place, set[str]] = defaultdict(set)
        for row in rows:
            at = row["arm"], row["target"], row["seed"]
            parts[at][row["language"]].append(row["value"])
            languages[row["target"]].add(row["language"])
            self.runs[at].add(row["key"])
        self.scores = {at: {lang: xtreme.mean(v) for lang, v in found.items()} for at, found in parts.items()}
        # What any arm has, all must have: averages over different languages cannot be compared.
        self.languages = {target: sorted(languages[target]) for target in shown}
        self.seen, self.sources = learned(study), {arm: source_of(study, arm) for arm in study["arms"]}
        with_source = [
            t for t in fine_tuned if languages[t] >= {*self.sources.values()} and languages[t].difference(self.seen)
        ]
        self.zero_shot = f"no {','.join(self.seen)}"
        self.targets: dict[str, Sequence[str]] = {t: [t] for t in shown}
        self.targets |= {"avg": shown, "no retr.": fine_tuned, self.zero_shot: shown, "gap": with_source}
        self.columns = tuple(self.targets)

    def over_seeds(self, arm: str, column: str, seeds: Iterable[int]) -> SeedValues:
        """Seed -> the column's number, for the seeds that are complete."""
        found = {seed: self._value(arm, column, seed) for seed in seeds}
        return {seed: value for seed, value in found.items() if value is not None}

    def one_run(self, arm: str, column: str, seeds: Iterable[int]) -> bool:
        """Whether several seeds share the very same nodes: copies of one number have no spread."""
        runs = [[self.runs[arm, target, seed] for target in self.targets[column]] for seed in seeds]
        return len(runs) > 1 and all(run == runs[0] for run in runs)

    def _value(self, arm: str, column: str, seed: int) -> float | None:
        names = self.targets[column]
        return xtreme.mean_of_all(
            {t: self._of_target(column, arm, t, self.scores.get((arm, t, seed), {})) for t in names}, names
        )

    def _of_target(self, column: str, arm: str, target: str, scores: Mapping[str, float]) -> float | None:
        if column == "gap":
            return xtreme.transfer_gap(scores, self.languages[target], self.sources[arm], self.seen)
        if column == self.zero_shot:
            return xtreme.without_source(scores, self.languages[target], *self.seen)
        return xtreme.mean_of_all(scores, self.languages[target])


def entry(values: SeedValues, base: SeedValues, seeds: int, marks: str, *, spread: bool) -> Entry:
    """The mean over the seeds there are, its delta over the seeds that ``base`` has too, and what is missing of ``seeds``."""
    if not values:
        return Entry(None)
    paired = [value - base[seed] for seed, value in values.items() if seed in base]
    if len(values) < seeds:
        marks += f" {len(values)}/{seeds} seeds"
    if paired and len(paired) < len(values):
        marks += f" (delta {len(paired)}/{seeds} seeds)"
    return Entry(
        statistics.fmean(values.values()),
        statistics.stdev(values.values()) if spread and len(values) > 1 else None,
        statistics.fmean(paired) if paired else None,
        marks,
    )


def _coverage_notes(
    rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]], own: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    if own:
        named = ", ".join(f"{code} {of['name']}{distance(of)}" for code, of in own.items())
        yield f"Languages of this study's own, not XTREME's (distance from the source): {named}."
    languages: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        languages[row["target"]].add(row["language"])
    languages = {target: found - own.keys() for target, found in languages.items() if found - own.keys()}
    if not languages:
        return
    facts = {t: f for t, f in facts.items() if t in languages}
    scored = ", ".join(f"{t} {len(languages[t])}/{len(f['languages'])}" for t, f in facts.items())
    yield f"Languages scored / in XTREME: {scored}."
    whole = all(len(languages[t]) == len(f["languages"]) for t, f in facts.items())
    if not whole or set(facts) != {t.name for t in targets()}:
        yield "This is not XTREME's overall score: that needs all nine tasks in all their languages."


def distance(language: Mapping[str, Any]) -> str:
    """`` (2)`` where a distance is declared."""
    return "" if language["distance"] is None else f" ({language['distance']:g})"


def _evidence_notes(
    rows: Sequence[Mapping[str, Any]], study: Mapping[str, Any], fine_tuned: Sequence[str], copies: bool
) -> Iterator[str]:
    limit = study["limits"]
    if limit["train_rows"] or limit["evaluation_rows"]:
        most = limit["train_rows"]
        shown_rows = ", ".join(f"{k} {v}" for k, v in most.items()) if isinstance(most, dict) else most or "all"
        scored = f"At most {limit['evaluation_rows']}" if limit["evaluation_rows"] else "All"
        yield f"{scored} evaluation rows a language; retrieval pools are whole. Training rows at most: {shown_rows}."
    counts = [r["count"] for r in rows if r["target"] in fine_tuned]
    if limit["evaluation_rows"] and counts:
        fewest = min(limit["evaluation_rows"], *counts)
        # The largest standard error of a share of n rows, at one half.
        error = 100 * math.sqrt(0.25 / fewest)
        yield f"{fewest} evaluation rows a language: one accuracy has a standard error of up to {error:.1f} points."
    if len(study["seeds"]) == 1:
        yield "One seed: differences between arms are not evidence by themselves."
    if copies:
        yield "No ± where all seeds share one run: nothing there depends on the seed."


def _origin_notes(rows: Sequence[Mapping[str, Any]], study: Mapping[str, Any], model: str) -> Iterator[str]:
    for key, files in study["data"]["files"].items():
        yield f"Rows of {key} come from {', '.join(files)}, not from the published file."
    if any(r["selection"] == "threshold_from_same_dev" for r in rows):
        yield "bucc2018: the threshold was set on the same dev pairs that are scored."
    if study["models"][model]["note"]:
        yield study["models"][model]["note"].strip()
    yield from (text.strip() for text in study["notes"].values())


def as_grid(table: Table) -> Grid:
    """The table as a table of text: what is exported."""
    rows = tuple((name, *(e.text() for e in entries)) for name, entries in table.rows)
    return Grid(table.title, (table.first, *table.columns), rows, table.notes)


def print_table(table: Table, console: Console) -> None:
    """The table in a terminal: rows as rows, or as columns where that takes fewer parts."""
    straight = as_grid(table)
    turned = Grid(
        table.title,
        ("target" if table.first == "arm" else "", *(row[0] for row in straight.rows)),
        tuple(
            (column, *(row[place] for row in straight.rows)) for place, column in enumerate(straight.columns) if place
        ),
        table.notes,
    )
    print_grid(min(straight, turned, key=lambda grid: parts_in(grid, console.width)), console)


def markdown(table: Table) -> str:
    """The table in Markdown."""
    return grid_markdown(as_grid(table))
