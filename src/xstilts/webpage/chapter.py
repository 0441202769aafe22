"""A study's chapter: its sentences, its sections in the order in which a reader asks, and where its numbers come from."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xstilts import journey
from xstilts.errors import StatisticsError
from xstilts.graph.node import Graph, Node
from xstilts.graph.status import status
from xstilts.graph.store import Store
from xstilts.report.comparison.cells import Comparison
from xstilts.report.comparison.compare import compare_study
from xstilts.report.impact.answers import impact
from xstilts.report.impact.measured import measurements
from xstilts.report.results import Results
from xstilts.report.retrieval_layers import Layers, layer_grids, layers_of
from xstilts.report.table import Table
from xstilts.webpage import languages, scores
from xstilts.webpage.content import Chapter, Figures, Fold, Panels, Section, Sheet, sheet_of
from xstilts.webpage.curves import layer_figures, training_figures
from xstilts.webpage.origins import Origins
from xstilts.webpage.speed import speed_section
from xstilts.webpage.summary import summary

SPLITS = ("test", "dev")


class Chapters:
    """The chapters of one page; ``origins`` has the blocks that numbers point to, by study."""

    def __init__(self, store: Store, place: str, results: Mapping[str, Results]) -> None:
        self._store, self._place, self._results = store, shlex.quote(place), results
        self._prefixes = {name: f"s{number}" for number, name in enumerate(results, start=1)}
        self.origins = {name: Origins(store, of, place, self._prefixes[name]) for name, of in results.items()}

    def chapter(self, name: str) -> Chapter:
        """All that the store knows of one study."""
        results, prefix = self._results[name], self._prefixes[name]
        payload = results.payload
        states = status(Graph(name, tuple(results.nodes.values())), self._store)
        counts: Counter[str] = Counter(states.values())
        found, why_not = self._compared(name)
        layers = layers_of(results.rows, payload["study"])
        measured = impact(self._store, name) if measurements(self._store, name) else None
        sections = (
            self._scores(name, found, why_not),
            *self._languages(name, found),
            *self._layers(name, layers),
            *self._training(payload, prefix),
            *(
                [speed_section(measured, self.origins[name], prefix)]
                if measured is not None
                else self._unmeasured(payload, prefix)
            ),
        )
        return Chapter(
            id=prefix,
            name=name,
            title=str(payload["study"].get("title") or ""),
            state=_state(counts),
            failures=tuple(self._failure(results.nodes[key]) for key, state in states.items() if state == "failed"),
            summary=summary(payload, counts, next((of for of in found.values() if of), ()), layers, measured),
            sections=sections,
            origins=(),
        )

    def _failure(self, node: Node) -> tuple[str, str, str]:
        """A failed node's title, what it said, and the command that tells more."""
        text = str((self._store.failure(node.key) or {}).get("text", ""))
        return node.title, text, f"xstilts why {node.key[:12]} --store {self._place}"

    def with_origins(self, chapter: Chapter) -> Chapter:
        """The chapter with every block that its numbers, and those of shared sections, point to."""
        return replace(chapter, origins=self.origins[chapter.name].found)

    def _compared(self, name: str) -> tuple[dict[str, list[Comparison]], str]:
        """Split -> the comparisons of its models; and why there are none, where no arm can be compared with."""
        try:
            return {split: compare_study(self._store, self._results[name], split) for split in SPLITS}, ""
        except StatisticsError as error:
            return {split: [] for split in SPLITS}, str(error)

    def _scores(self, name: str, found: Mapping[str, Sequence[Comparison]], why_not: str) -> Section:
        results, prefix = self._results[name], self._prefixes[name]
        tables = journey.study_tables(self._store, results, by_language=False)
        blocks: list[Sheet | Figures | Fold] = []
        if why_not:
            blocks += [scores.plain_sheet(table) for table in tables]
        shown = [split for split in SPLITS if found[split]]
        for split in shown:
            of_split: list[Sheet | Figures] = []
            for of in found[split]:
                drawn = scores.difference_figures(of, _whose(of, found[split])) if split == shown[0] else None
                of_split += [drawn] if drawn is not None else []
                of_split.append(self._sheet(name, of, tables))
            blocks += of_split if split == shown[0] else [Fold(f"The same on {split}", tuple(of_split))]
        if not blocks:
            lead = f"No scores yet: xstilts run makes them, xstilts status {name} --store {self._place} says what is missing."
        else:
            lead = why_not or (
                "Each arm against the baseline arm. A line is an interval over seeds: where it crosses zero, these seeds "
                "alone do not tell the arm from its baseline."
            )
        return Section(f"{prefix}-scores", "What intermediate training changes", lead, tuple(blocks))

    def _sheet(self, name: str, of: Comparison, tables: Sequence[Table]) -> Sheet:
        results = self._results[name]
        guessed = {
            target: sum(values.values()) / len(values)
            for (target, split), values in results.guesses.items()
            if split == of.split and values
        }
        notes = next((table.notes for table in tables if table.title == f"{of.model}, {of.split}"), ())
        marks = scores.run_marks(self._store, results.payload, of.model, of.split)
        return scores.score_sheet(of, list(results.study["arms"]), guessed, marks, self.origins[name], notes)

    def _languages(self, name: str, found: Mapping[str, Sequence[Comparison]]) -> Iterator[Section]:
        study, prefix, origins = self._results[name].study, self._prefixes[name], self.origins[name]
        shown = next((of for of in found.values() if of), [])
        made = (languages.heat_panels(of, study, origins, _whose(of, shown), legend=of is shown[0]) for of in shown)
        panels = [panel for panel in made if panel is not None]
        if panels:
            lead = "Every language and target: the baseline arm's scores, then what each arm changes."
            yield Section(f"{prefix}-languages", "Language by language", lead, tuple(panels))
        blocks: list[Figures | Fold | Panels] = []
        for of in shown:
            figures, sheet = languages.gap_figures(of, _whose(of, shown)), languages.gap_sheet(of, origins)
            blocks += [figures] if figures is not None else []
            blocks += [Fold(f"The gaps as a table ({of.model})", (sheet,))] if sheet is not None else []
        if blocks:
            lead = "The transfer gap: what a fine-tuned model loses between its source language and each group of languages."
            yield Section(f"{prefix}-gap", "What is lost on the way", lead, tuple(blocks))

    def _layers(self, name: str, found: Sequence[Layers]) -> Iterator[Section]:
        study, prefix, origins = self._results[name].study, self._prefixes[name], self.origins[name]
        baseline = next((arm for arm, of in study["arms"].items() if of["intermediate"] is None), None)
        figures = layer_figures(found, baseline)
        if figures is not None:
            lead = "Retrieval needs no fine-tuning, but a layer to read. Did training help, or did only the best layer move?"
            grids = layer_grids(found, study["retrieval"]["pooling"])
            fold = Fold("The same as tables", tuple(sheet_of(grid) for grid in grids))
            links = tuple(
                (f"{arm} on {of.target} {of.split}", origins.of_score(of.model, arm, of.target, of.split))
                for of in found
                for arm in of.readings
            )
            yield Section(f"{prefix}-layers", "Retrieval, layer by layer", lead, (figures, fold), links)

    def _training(self, payload: Mapping[str, Any], prefix: str) -> Iterator[Section]:
        blocks = [
            Fold(f"{title} ({model})", (figures,))
            for model in payload["study"]["models"]
            for title, figures in training_figures(self._store, payload, model)
        ]
        if blocks:
            lead = "Losses as they were written down, in means of equal stretches."
            yield Section(f"{prefix}-training", "How the trainings went", lead, tuple(blocks))

    def _unmeasured(self, payload: Mapping[str, Any], prefix: str) -> Iterator[Section]:
        name = payload["study"]["name"]
        if payload.get("measurements"):
            says = f"xstilts status {name} --store {self._place} says what is missing"
            lead = f"Planned, not measured yet: xstilts run fills it, {says}."
        else:
            lead = "Nothing was measured. Where a study file has an entry measurements, xstilts run fills this section."
        yield Section(f"{prefix}-speed", "Inference, measured", lead)


def _whose(of: Comparison, beside: Sequence[Comparison]) -> str:
    """The model's name where there are several."""
    return f"{of.model}, " if len(beside) > 1 else ""


def _state(states: Mapping[str, int]) -> str:
    done, every = states.get("done", 0), sum(states.values())
    if done == every:
        return f"Finished: all {every:,} nodes."
    left = ", ".join(f"{count:,} {state}" for state, count in states.items() if state != "done")
    return (
        f"Not finished: {done:,} of {every:,} nodes are done, {left}. The same xstilts run goes on; "
        "what follows is of what is done."
    )
