"""The reference of the library: every package and module in the order in which they import one another."""

from __future__ import annotations

import ast
from pathlib import Path

from website.places import ROOT

SOURCE = ROOT / "src" / "xstilts"
_LEFT_OUT = {"__init__", "__main__", "cli"}  # the command line has a reference of its own


def names() -> list[str]:
    """The modules and packages directly below ``xstilts``, by name."""
    found = (path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    return sorted(set(found) - _LEFT_OUT)


def summary(path: Path) -> str:
    """The first line of a module's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def page() -> str:
    """A line for each, which leads to its page."""
    lines = [
        "# Library\n",
        "Made from docstrings. [Architecture](../architecture.md) says how the parts stand to one another; what begins "
        "with an underscore may change without notice.\n",
        "| | |\n|---|---|",
    ]
    for name in names():
        file = SOURCE / f"{name}.py"
        lines.append(
            f"| [`{name}`](xstilts.{name}.md) | {summary(file if file.is_file() else SOURCE / name / '__init__.py')} |"
        )
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Place -> what stands there, for each: all of it from docstrings."""
    return {f"reference/xstilts.{name}.md": f"# xstilts.{name}\n\n::: xstilts.{name}\n" for name in names()}
