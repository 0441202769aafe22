"""Drawings of the page: panels a phone is wide, so that none has to be made smaller there than it can be read.

Colours come from the page's own style, which knows light and dark; here are only classes. What is told by colour is told by
shape, by words or by a line's pattern, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from xstilts.report.figure import Canvas, Scale, padded, tick_text, width_of
from xstilts.webpage.content import with_minus

WIDTH = 340.0
_LONGEST = 40


@dataclass(frozen=True)
class Trace:
    """A line: ``role`` is ``base`` (dashed), ``lead`` (thick) or ``rest`` (thin); a lead's label stands at its end."""

    label: str
    points: tuple[tuple[float, float], ...]
    role: str


@dataclass(frozen=True)
class Strip:
    """One row of marks on a common scale: an interval with its middle, and other marks.

    Args:
        label: above the row.
        marks: value, its name, and the role ``base``, ``lead`` or ``rest``.
        interval: drawn as a line, ``dashed`` or not; ``box`` as a thick one.
        said: right of the label.
    """

    label: str
    marks: tuple[tuple[float, str, str], ...]
    interval: tuple[float, float] | None = None
    box: tuple[float, float] | None = None
    said: str = ""
    dashed: bool = False


def _tick(value: float) -> str:
    return with_minus(tick_text(value))


def short(text: str, most: int = _LONGEST) -> str:
    """A name that fits a drawing; the whole one stands in its title."""
    return text if len(text) <= most else text[: most - 1] + "…"


def traces(
    words: str, lines: Sequence[Trace], x_label: str, *, height: float = 210, width: float = WIDTH, whole: bool = False
) -> str:
    """Lines over a common axis: the important ones last, so that they lie on top."""
    canvas = Canvas(width, height, words)
    left, right, top, bottom = 34.0, width - 10, 12.0, height - 34
    xs = [x for line in lines for x, _ in line.points]
    y = Scale(*padded((y for line in lines for _, y in line.points), 0.06), bottom, top)
    x = Scale(min(xs), max(max(xs), min(xs) + 1), left, right)
    for value in y.ticks(max(2, int((bottom - top) / 38))):
        canvas.line(left, y(value), right, y(value), "grid")
        canvas.text(left - 5, y(value) + 4, _tick(value), "end", "soft")
    for value in x.ticks(max(2, int((right - left) / 70))):
        if not whole or value == round(value):
            canvas.text(x(value), bottom + 15, _tick(value), "middle", "soft")
    canvas.line(left, bottom, right, bottom, "axis")
    canvas.text(right, bottom + 29, x_label, "end", "soft")
    for role in ("rest", "base", "lead"):
        for line in lines:
            if line.role == role:
                _trace(canvas, line, [(x(at), y(value)) for at, value in line.points])
    return canvas.inline()


def _trace(canvas: Canvas, line: Trace, at: Sequence[tuple[float, float]]) -> None:
    points = " ".join(f"{px:.1f},{py:.1f}" for px, py in at)
    drawn = f'<polyline points="{points}" class="line {line.role}"/>' if len(at) > 1 else ""
    if len(at) == 1:
        drawn = f'<circle cx="{at[0][0]:.1f}" cy="{at[0][1]:.1f}" r="3" class="dot {line.role}"/>'
    canvas.parts.append(f"<g><title>{escape(line.label)}</title>{drawn}</g>")


def strips(words: str, rows: Sequence[Strip], x_label: str, *, zero: bool = False, log: bool = False) -> str:
    """Rows of marks under their labels: a phone has no room for labels at the side."""
    row_height, top = 34.0, 8.0
    bottom = top + row_height * len(rows) + 4
    canvas = Canvas(WIDTH, bottom + 34, words)
    ends = [v for row in rows for v in (*(m[0] for m in row.marks), *(row.interval or ()), *(row.box or ()))]
    low, high = (min(ends) / 1.15, max(ends) * 1.15) if log else padded([*ends, *([0.0] if zero else [])])
    scale = Scale(low, high, 8, WIDTH - 8, log=log)
    for value in scale.ticks(5):
        canvas.line(scale(value), top, scale(value), bottom, "grid")
        canvas.text(scale(value), bottom + 14, _tick(value), "middle", "soft")
    if zero:
        canvas.line(scale(0), top, scale(0), bottom, "zero")
    canvas.text(WIDTH - 8, bottom + 29, x_label, "end", "soft")
    for place, row in enumerate(rows):
        y = top + row_height * place
        said = short(row.said, 22)
        room = int((WIDTH - 24 - width_of(said)) / width_of("n"))
        canvas.parts.append(f"<g><title>{escape(f'{row.label} {row.said}')}</title>")
        canvas.text(8, y + 13, short(row.label, max(8, room)), of="name")
        canvas.text(WIDTH - 8, y + 13, said, "end", "soft")
        at = y + 24
        if row.interval is not None:
            canvas.line(scale(row.interval[0]), at, scale(row.interval[1]), at, "interval", row.dashed)
        if row.box is not None:
            canvas.line(scale(row.box[0]), at, scale(row.box[1]), at, "box")
        for value, name, role in sorted(row.marks, key=lambda mark: ("rest", "base", "lead").index(mark[2])):
            _mark(canvas, scale(value), at, name, role)
        canvas.parts.append("</g>")
    return canvas.inline()


def _mark(canvas: Canvas, x: float, y: float, name: str, role: str) -> None:
    title = f"<title>{escape(name)}</title>"
    if role == "base":  # a bar: told from dots by its shape
        drawn = f'<rect x="{x - 1.75:.1f}" y="{y - 7:.1f}" width="3.5" height="14" class="dot base">{title}</rect>'
    else:
        drawn = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4.5 if role == "lead" else 3.2}" class="dot {role}">{title}</circle>'
    canvas.parts.append(drawn)


def thinned(points: Mapping[float, float], most: int = 48) -> tuple[tuple[float, float], ...]:
    """At most ``most`` points: the means of as many equal stretches, so that a noisy curve keeps its course."""
    every = sorted(points.items())
    size = max(1, math.ceil(len(every) / most))
    parts = [every[start : start + size] for start in range(0, len(every), size)]
    return tuple((part[-1][0], math.fsum(value for _, value in part) / len(part)) for part in parts)
