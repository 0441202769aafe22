"""What was measured: the tables and figures of ``xstilts impact``, and how latencies are spread."""

from __future__ import annotations

from collections.abc import Iterator

from xstilts.report.figure import inline
from xstilts.report.grid import milliseconds
from xstilts.report.impact.answers import Answers, Impact
from xstilts.report.impact.page import figures
from xstilts.report.impact.sections import sections
from xstilts.report.impact.words import findings, how_measured
from xstilts.statistics.percentiles import percentile
from xstilts.webpage.content import Figure, Figures, Fold, Prose, Section, sheet_of
from xstilts.webpage.draw import Strip, strips
from xstilts.webpage.origins import Origins


def speed_section(of: Impact, origins: Origins, prefix: str) -> Section:
    """Speed beside score, as the impact page has it: the two pages cannot differ."""
    drawn = list(figures(of))
    blocks: list[Prose | Figures | Fold] = [Prose(tuple(findings(of)))]
    charts = [Figure(f.words, inline(f.svg)) for f in drawn]
    spread = tuple(_latencies(of))
    if spread:
        note = (
            "Bar: median. Thick: the middle half. Thin: from the 1st to the 99th percentile of all queries of all runs."
        )
        blocks.append(Figures(spread, notes=(note,)))
    if charts:
        blocks.append(Figures(tuple(charts), "wide"))
    for heading, grids in sections(of.answers):
        blocks.append(Fold(heading, tuple(sheet_of(grid) for grid in grids)))
    blocks.append(Fold("How this was measured", (Prose(tuple(how_measured(of))),)))
    links = [
        (a.measured.title, origins.of_nodes(("measure", a.measured.key), a.measured.title, [a.measured.key]))
        for a in of.answers
    ]
    lead = "Throughput and latency beside the score of the same configuration."
    if of.unfinished:
        lead += f" Not measured yet: {'; '.join(of.unfinished)}."
    return Section(f"{prefix}-speed", "Inference, measured", lead, tuple(blocks), tuple(links))


def _latencies(of: Impact) -> Iterator[Figure]:
    """The spread of single-stream latencies of every system that passed the gate."""
    for answers in of.answers:
        rows = list(_strips(answers))
        if rows:
            words = f"{answers.measured.title}: single-stream latency by system"
            caption = f"Latency of one query, {answers.measured.title}"
            yield Figure(caption, strips(words, rows, "milliseconds (logarithmic axis)", log=True))


def _strips(answers: Answers) -> Iterator[Strip]:
    for standing in answers.shown:
        speed = standing.speed
        if speed is None or not speed.latencies or speed.p50 is None:
            continue
        p01, p25, p75, p99 = (1000 * percentile(speed.latencies, share) for share in (0.01, 0.25, 0.75, 0.99))
        said = f"median {milliseconds(speed.p50)} ms"
        mark = (1000 * speed.p50, f"{standing.system.name}: {said}", "base")
        yield Strip(standing.system.name, (mark,), (p01, p99), (p25, p75), said)
