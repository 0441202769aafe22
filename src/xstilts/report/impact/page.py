"""The impact page: one Markdown file with tables, and its figures in a folder of the same name beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from xstilts.graph.disk import guarded
from xstilts.report.charts import Curve, Point, RatioMark, bar_chart, layer_chart, ratio_chart, score_chart
from xstilts.report.grid import grid_markdown, print_grid
from xstilts.report.impact.answers import Answers, Impact
from xstilts.report.impact.iso import COSTS, cost
from xstilts.report.impact.sections import sections
from xstilts.report.impact.speed import METRICS
from xstilts.report.impact.words import AT_13B, findings, how_measured
from xstilts.report.pages import check_page, write_whole
from xstilts.statistics.equivalence import Comparison

TITLE = "The impact of intermediate training on inference"
_UNITS = {
    "offline": ("offline seconds for 1,000 examples", 1.0),
    "single_stream": ("median single-stream latency, ms", 1e3),
    "memory": ("peak memory, GiB", 1.0),
}


@dataclass(frozen=True)
class Figure:
    """One SVG: its file's name, the words that stand for it, and the section it belongs to."""

    name: str
    words: str
    section: str
    svg: str


def page_markdown(of: Impact, place: str | None = None) -> str:
    """The page; with ``place``, the folder of its figures as a link says it, they are shown."""
    shown = list(figures(of)) if place is not None else []
    parts = [f"# {TITLE}", "", *(f"{sentence}\n" for sentence in findings(of)), "## How this was measured", ""]
    parts += [*(f"- {line}" for line in how_measured(of)), ""]
    for heading, grids in sections(of.answers):
        parts += [f"## {heading}", ""]
        parts += [f"![{f.words}]({place}/{f.name})\n" for f in shown if f.section == heading]
        parts += [grid_markdown(grid) for grid in grids]
    first, *rest = AT_13B
    parts += ["## What would have to hold at 13B", "", first, "", *(f"- {line}" for line in rest), ""]
    return "\n".join(parts)


def print_impact(of: Impact, console: Console) -> None:
    """The page in a terminal, without figures."""
    for line in findings(of):
        console.print(line, markup=False)
    console.print()
    for heading, grids in sections(of.answers):
        console.print(f"[bold underline]{heading}[/]\n")
        for grid in grids:
            print_grid(grid, console)
    for line in how_measured(of):
        console.print(f"- {line}", style="dim", markup=False)
    console.print("\nWhat would have to hold at 13B: xstilts impact --markdown says it.", style="dim")


def write_page(of: Impact, file: Path) -> list[Path]:
    """Write the page and its figures: the figures first, each whole or not at all, so the page never lacks one.

    Returns:
        what was written, the page last.

    Raises:
        XstiltsError: ``file`` does not end in .md, or its folder is not there.
        StoreError: the disk refuses.
    """
    check_page(file)
    folder = file.with_suffix("")
    drawn = {folder / figure.name: figure.svg for figure in figures(of)}
    text = page_markdown(of, folder.name if drawn else None)
    with guarded(folder):
        if drawn:
            folder.mkdir(exist_ok=True)
        for path, content in {**drawn, file: text}.items():
            write_whole(path, content)
    return [*drawn, file]


def figures(of: Impact) -> Iterator[Figure]:
    """Every figure that the answers have numbers for."""
    for answers in of.answers:
        name = re.sub(r"[^A-Za-z0-9]+", "-", answers.measured.title)
        yield from _ratio_figures(answers, name)
        yield from _layer_figures(answers, name)
        yield from _score_figures(answers, name)
        yield from _language_figures(answers, name)


def _ratio_figures(of: Answers, name: str) -> Iterator[Figure]:
    measured = of.measured
    found: list[tuple[str, str, Comparison | None, str]] = []
    for c in of.checks:
        verdict = "instrument failed" if c.problem else "as it must"
        found.append((f"{c.model}: control", c.metric, c.control, verdict))
        found.append((f"{c.model}: +{100 * measured.slowdown:g} %", c.metric, c.sabotaged, verdict))
    found += [(r.system.name, r.metric, r.comparison, r.verdict) for r in of.ratios]
    series = {metric: place for place, metric in enumerate(METRICS)}
    marks = [RatioMark(label, series[m], c.low_90, c.ratio, c.high_90, note) for label, m, c, note in found if c]
    if marks and measured.margin is not None:
        marks.sort(key=lambda mark: mark.series)
        title = f"Ratio of time, {measured.title}; band: margin ±{100 * measured.margin:g} %"
        svg = ratio_chart(title, marks, measured.margin, tuple(METRICS.values()))
        yield Figure(f"ratio-{name}.svg", title, "The same graph: ratio of time to the baseline arm", svg)


def _layer_figures(of: Answers, name: str) -> Iterator[Figure]:
    models: dict[str, dict[str, Curve]] = {}
    for read in of.layers:
        system = read.standing.system
        if len(read.curve) > 1:
            arms = models.setdefault(system.model, {})
            before = arms[system.arm].read if system.arm in arms else ()
            label = f"{system.model}/{system.arm}"
            arms[system.arm] = Curve(label, read.curve, (*before, system.layer) if system.layer is not None else before)
    for model, curves in models.items():
        title = f"Retrieval by layer: {model}, {of.measured.title}"
        svg = layer_chart(title, list(curves.values()), "score, mean over languages")
        yield Figure(f"layer-{name}-{model}.svg", title, "Retrieval: the layer that is read", svg)


def _score_figures(of: Answers, name: str) -> Iterator[Figure]:
    for metric in COSTS:
        unit, factor = _UNITS[metric]
        points = [
            Point(
                s.system.name,
                factor * value,
                s.score.value,
                s.score.error,
                int(s.system.arm not in of.baselines),
                s in of.fronts[metric],
            )
            for s in of.shown
            if s.score and (value := cost(s, metric)) is not None
        ]
        if points:
            title = f"Score against {COSTS[metric]}, {of.measured.title}"
            svg = score_chart(title, points, f"{unit} (logarithmic axis)", "score, mean over languages")
            yield Figure(f"score-{metric.replace('_', '-')}-{name}.svg", title, "Score against cost", svg)


def _language_figures(of: Answers, name: str) -> Iterator[Figure]:
    for standing in of.references:
        assert standing.speed is not None
        costs = [c for language in of.measured.languages if (c := standing.speed.cost(language))]
        bars = [(of.language_name(c.language), c.seconds_per_1000) for c in costs]
        if len(bars) > 1:
            bars.sort(key=lambda bar: -bar[1])
            title = f"Cost per language: {standing.system.name}, {of.measured.title}"
            svg = bar_chart(title, bars, "offline seconds for 1,000 examples", of.language_name(of.source))
            yield Figure(f"language-{name}-{standing.system.model}.svg", title, "Load and cost per language", svg)
