"""The page of expected scores: the printed numbers that the package carries, with their marks and sources."""

from __future__ import annotations

from xstilts.published.numbers import Published, load_published
from xstilts.published.page import published_grids
from xstilts.report.grid import Grid, grid_markdown


def page() -> str:
    """Scores and changes by model, the same by language where somebody printed that, and where all of it comes from."""
    known = load_published()
    grids = [*published_grids(known), _by_language(known)]
    parts = [
        "# Expected scores\n",
        "What others printed, as far as it could be read: the numbers that `xstilts compare published` puts beside yours. "
        "Look at the **mark** first: it says whether a number was read in its source or is only remembered. What makes a "
        "number differ from a printed one is on [its own page](published.md). None of these numbers was made here; "
        "[Results](results.md) has ours.\n",
        *(grid_markdown(grid, level=2) for grid in grids if grid.rows),
        "## Sources\n",
        *(f"- **{name}**: {said}" for name, said in known.sources.items()),
        "\n## Protocols\n",
        *(f"- **{name}**: {said}" for name, said in known.protocols.items()),
    ]
    return "\n".join(parts) + "\n"


def _by_language(known: Published) -> Grid:
    found = sorted(
        (n for n in known.numbers if n.language is not None), key=lambda n: (n.target, n.model, n.language or "")
    )
    columns = ("model", "arm", "target", "split", "metric", "language", "score", "mark", "source")
    rows = (
        (known.models[n.model].title, n.arm, n.target, n.split, n.metric, n.language or "", n.text, n.mark, n.source)
        for n in found
    )
    return Grid("By language", columns, tuple(rows), (), frozenset(columns) - {"score"})
