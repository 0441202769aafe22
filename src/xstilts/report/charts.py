"""The figures of the impact page, each from plain values: ratios with a margin, score against cost, bars, curves by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from xstilts.report.figure import Canvas, Scale, padded, tick_text, width_of

WIDTH = 720.0
Box = tuple[float, float, float, float]  # x, y, width, height


@dataclass(frozen=True)
class RatioMark:
    """A ratio with its interval; ``series`` is the metric, ``note`` the verdict."""

    label: str
    series: int
    low: float
    ratio: float
    high: float
    note: str


@dataclass(frozen=True)
class Point:
    """A score at a cost; ``series`` 0 is without intermediate training, 1 with it. On its series' front or not."""

    label: str
    x: float
    y: float
    error: float
    series: int
    on_front: bool


@dataclass(frozen=True)
class Curve:
    """A score by layer, with the layers that were read."""

    label: str
    scores: Mapping[int, float]
    read: tuple[int, ...]


def ratio_chart(title: str, marks: Sequence[RatioMark], margin: float, metrics: Sequence[str]) -> str:
    """Ratios of time (right of 1 is slower) with their 90 % intervals, over the band of the margin."""
    left = 24 + max([width_of(m.label) for m in marks], default=0)
    right = 24 + max([width_of(m.note) for m in marks], default=0)
    top, row = 62.0, 26.0
    width = max(WIDTH, left + 320 + right)
    canvas = Canvas(width, top + row * len(marks) + 48, title)
    canvas.text(16, 24, title, of="title")
    legend(canvas, 16, 46, metrics)
    low, high = padded([1 / (1 + margin), 1 + margin, *(m.low for m in marks), *(m.high for m in marks)])
    scale = Scale(low, high, left, width - right)
    bottom = top + row * len(marks)
    band = scale(1 / (1 + margin)), scale(1 + margin)
    canvas.box(band[0], top, band[1] - band[0], bottom - top, "band")
    _x_axis(canvas, scale, top, bottom, "ratio of time to the baseline arm (above 1: slower), 90 % interval")
    canvas.line(scale(1), top, scale(1), bottom, "axis", dashed=True)
    for place, mark in enumerate(marks):
        y = top + row * (place + 0.5)
        canvas.text(16, y + 4, mark.label)
        canvas.line(scale(mark.low), y, scale(mark.high), y, f"s{mark.series}")
        canvas.mark(scale(mark.ratio), y, mark.series)
        canvas.text(scale.end + 12, y + 4, mark.note, of="soft")
    return canvas.svg()


def score_chart(title: str, points: Sequence[Point], x_label: str, y_label: str) -> str:
    """Scores with their standard errors against cost on a logarithmic axis; the two fronts as lines."""
    height, left, top = 440.0, 64.0, 70.0
    bottom, right = height - 56, WIDTH - 24
    canvas = Canvas(WIDTH, height, title)
    canvas.text(16, 24, title, of="title")
    legend(canvas, 16, 46, ("without intermediate training", "with intermediate training"))
    costs = [p.x for p in points]
    room = min(150.0, max(width_of(p.label) for p in points) + 12)  # for labels beyond the cheapest and the dearest
    end = right - room
    x = Scale(min(costs) / 1.1, max(costs) * 1.1, left + room, end, log=True)
    y_low, y_high = padded([*(p.y - p.error for p in points), *(p.y + p.error for p in points)])
    y = Scale(y_low, y_high, bottom, top)
    _x_axis(canvas, x, top, bottom, x_label, left=left)
    _y_axis(canvas, y, left, end, y_label)
    taken: list[Box] = []
    for series in (0, 1):
        line = sorted((x(p.x), y(p.y)) for p in points if p.series == series and p.on_front)
        if len(line) > 1:
            canvas.path(line, f"s{series}", dashed=series == 0)
            taken += _along(line)
    taken += [(x(p.x) - 6, y(p.y) - 6, 12, 12) for p in points]
    for p in points:
        canvas.line(x(p.x), y(p.y - p.error), x(p.x), y(p.y + p.error), "err")
    for p in sorted(points, key=lambda p: -p.y):
        canvas.mark(x(p.x), y(p.y), p.series)
        place_label(canvas, p.label, x(p.x), y(p.y), taken, (left, top, right - left, bottom - top))
    return canvas.svg()


def bar_chart(title: str, bars: Sequence[tuple[str, float]], x_label: str, marked: str) -> str:
    """One bar a name, with its value; ``marked`` stands out."""
    left = 28 + max([width_of(name) for name, _ in bars], default=0)
    top, row = 40.0, 22.0
    bottom = top + row * len(bars)
    canvas = Canvas(WIDTH, bottom + 48, title)
    canvas.text(16, 24, title, of="title")
    scale = Scale(0, max(value for _, value in bars) * 1.02, left, WIDTH - 72)
    _x_axis(canvas, scale, top, bottom, x_label)
    for place, (name, value) in enumerate(bars):
        y = top + row * place
        canvas.text(16, y + 15, name)
        canvas.box(left, y + 4, scale(value) - left, row - 8, "f2" if name == marked else "f1")
        canvas.text(scale(value) + 6, y + 15, f"{value:.3g}")
    return canvas.svg()


def layer_chart(title: str, curves: Sequence[Curve], y_label: str) -> str:
    """Scores by layer, one line an arm; rings mark the layers that were read."""
    height, left, top = 420.0, 64.0, 50.0 + 20 * len(curves)
    bottom, right = height - 56 + 20 * len(curves), WIDTH - 24
    canvas = Canvas(WIDTH, bottom + 56, title)
    canvas.text(16, 24, title, of="title")
    layers = [layer for curve in curves for layer in curve.scores]
    x = Scale(min(layers), max(max(layers), min(layers) + 1), left + 12, right - 12)
    y = Scale(*padded(value for curve in curves for value in curve.scores.values()), bottom, top)
    _x_axis(canvas, x, top, bottom, "layer that is read (0: embeddings); rings mark what was measured", whole=True)
    _y_axis(canvas, y, left, right, y_label)
    for series, curve in enumerate(curves):
        line = [(x(layer), y(value)) for layer, value in sorted(curve.scores.items())]
        canvas.path(line, f"s{series % 7}", dashed=series == 0)
        for at in line:
            canvas.mark(*at, series, 3.5)
        for layer in set(curve.read) & curve.scores.keys():
            cx, cy = x(layer), y(curve.scores[layer])
            canvas.parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{9 + 2 * series}" class="s{series % 7}"/>')
        canvas.mark(22, 42 + 20 * series, series)
        layers_read = " and ".join(map(str, sorted(set(curve.read))))
        canvas.text(34, 46 + 20 * series, f"{curve.label}, read at layer {layers_read}")
    return canvas.svg()


def legend(canvas: Canvas, x: float, y: float, names: Sequence[str]) -> None:
    """The sign of each series with its name, in one line."""
    for series, name in enumerate(names):
        canvas.mark(x + 6, y - 4, series)
        canvas.text(x + 18, y, name)
        x += 36 + width_of(name)


def place_label(canvas: Canvas, text: str, x: float, y: float, taken: list[Box], inside: Box) -> None:
    """A label beside its point where it covers no other; far from it with a thin line if there is no room near."""
    width, high = width_of(text), 14.0
    left, top, across, down = inside
    for step in range(12):
        for side, sign in ((1, -1), (1, 1), (-1, -1), (-1, 1)):
            at_x = x + (10 + (8 if step else 0) if side > 0 else -10 - (8 if step else 0) - width)
            at_y = y + sign * step * high - high / 2
            box = at_x, at_y, width, high
            fits = left <= at_x and at_x + width <= left + across and top <= at_y and at_y + high <= top + down
            if fits and not any(_overlap(box, other) for other in taken):
                if step:
                    canvas.line(x + 6 * side, y, at_x + (-2 if side > 0 else width + 2), at_y + high / 2, "err")
                canvas.text(at_x, at_y + 11, text)
                taken.append(box)
                return
    canvas.text(x + 10, y + 4, text)


def _along(line: Sequence[tuple[float, float]]) -> list[Box]:
    """Small boxes along a line, so that no label is put over it."""
    found: list[Box] = []
    for (x1, y1), (x2, y2) in pairwise(line):
        steps = 1 + int(max(abs(x2 - x1), abs(y2 - y1)) / 6)
        found += [(x1 + (x2 - x1) * k / steps, y1 + (y2 - y1) * k / steps, 2.0, 2.0) for k in range(steps)]
    return found


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _x_axis(
    canvas: Canvas,
    scale: Scale,
    top: float,
    bottom: float,
    label: str,
    *,
    whole: bool = False,
    left: float | None = None,
) -> None:
    for value in scale.ticks(max(2, int((scale.end - scale.start) / 70))):
        if whole and value != round(value):
            continue
        canvas.line(scale(value), top, scale(value), bottom, "grid")
        canvas.text(scale(value), bottom + 16, tick_text(value), "middle", "soft")
    canvas.line(scale.start if left is None else left, bottom, scale.end, bottom, "axis")
    canvas.text((scale.start + scale.end) / 2, bottom + 36, label, "middle")


def _y_axis(canvas: Canvas, scale: Scale, left: float, right: float, label: str) -> None:
    for value in scale.ticks():
        canvas.line(left, scale(value), right, scale(value), "grid")
        canvas.text(left - 8, scale(value) + 4, tick_text(value), "end", "soft")
    canvas.text(18, (scale.start + scale.end) / 2, label, "middle", turned=True)
