"""Plain SVG: a canvas, two kinds of scale, and marks that colour-blind people and black-and-white prints can tell apart.

Colours are Okabe and Ito's (2008); each series has a shape of its own, too. A figure has its own paper, light or dark as the
reader's screen is, so it can be read wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FONT = 12.0
_STYLE = f"""text{{font:{FONT:g}px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328}}
.title{{font-size:14px;font-weight:600}}.soft{{fill:#59636e}}.paper{{fill:#fff}}
.grid{{stroke:#d1d9e0}}.axis,.err{{stroke:#59636e}}.band{{fill:#56b4e9;opacity:.22}}
.f0{{fill:#1f2328}}.s0{{stroke:#1f2328}}
{"".join(f".f{n}{{fill:{c}}}.s{n}{{stroke:{c}}}" for n, c in enumerate(PALETTE, start=1))}
.s0,.s1,.s2,.s3,.s4,.s5,.s6{{fill:none;stroke-width:2}}
@media (prefers-color-scheme:dark){{text{{fill:#e6edf3}}.soft{{fill:#9da7b1}}.paper{{fill:#0d1117}}
.grid{{stroke:#30363d}}.axis,.err{{stroke:#9da7b1}}.f0{{fill:#e6edf3}}.s0{{stroke:#e6edf3}}
.f1{{fill:#4ba3dc}}.s1{{stroke:#4ba3dc}}}}"""

_OWN_PAPER = f'<style>{_STYLE}</style>\n<rect width="100%" height="100%" class="paper"/>'


@dataclass
class Canvas:
    """Shapes in pixels; (0, 0) is the upper left corner. ``text`` of the figure says in words what is drawn."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, of: str, dashed: bool = False) -> None:
        """A straight line of a class."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{of}"{dash}/>')

    def path(self, points: Iterable[tuple[float, float]], of: str, dashed: bool = False) -> None:
        """A line through points."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{text}" class="{of}"{dash}/>')

    def box(self, x: float, y: float, width: float, height: float, of: str) -> None:
        """A filled rectangle."""
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" class="{of}"/>'
        )

    def text(self, x: float, y: float, said: str, anchor: str = "start", of: str = "", turned: bool = False) -> None:
        """One line of text; ``turned`` runs upwards."""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        kind = f' class="{of}"' if of else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{turn}>{escape(said)}</text>')

    def mark(self, x: float, y: float, series: int, size: float = 5.0) -> None:
        """The sign of a series: circle, square, triangle, diamond, or a triangle on its head."""
        of, r = f"f{series % (len(PALETTE) + 1)}", size
        shapes: Sequence[Sequence[tuple[float, float]]] = (
            (),
            ((-r, -r), (r, -r), (r, r), (-r, r)),
            ((0, -1.2 * r), (1.15 * r, r), (-1.15 * r, r)),
            ((0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)),
            ((0, 1.2 * r), (1.15 * r, -r), (-1.15 * r, -r)),
        )
        corners = shapes[series % len(shapes)]
        if not corners:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" class="{of}"/>')
        else:
            text = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
            self.parts.append(f'<polygon points="{text}" class="{of}"/>')

    def svg(self) -> str:
        """The whole file."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(self.title)}</title>'
        return "\n".join([head, _OWN_PAPER, *self.parts, "</svg>", ""])

    def inline(self) -> str:
        """The figure as a part of a page, which gives it paper and colours: it must style the classes used."""
        return inline(self.svg())


def inline(svg: str) -> str:
    """A whole file as a part of a page: without style and paper of its own."""
    return svg.replace(_OWN_PAPER + "\n", "", 1)


@dataclass(frozen=True)
class Scale:
    """Values to pixels, linear or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values inside, at most ``most`` or a few more."""
        return _log_ticks(self.low, self.high, most) if self.log else _ticks(self.low, self.high, most)


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(found) >= 3:
            return found if len(found) <= 2 * most else found[:: math.ceil(len(found) / most)]
    return _ticks(low, high, most)


def padded(values: Iterable[float], share: float = 0.08) -> tuple[float, float]:
    """The range of the values with some air at both ends."""
    known = list(values)
    low, high = min(known), max(known)
    air = (high - low or abs(high) or 1.0) * share
    return low - air, high + air


def tick_text(value: float) -> str:
    """Short: ``0.05``, ``1,500``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def width_of(text: str) -> float:
    """About how wide a text is drawn: no font is asked, so it is a little too much."""
    return 0.58 * FONT * len(text)
