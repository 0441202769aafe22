"""docs/python.md, executed once a process: its names are what the tests of the interface look at."""

from __future__ import annotations

import os
import re
import runpy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tiny_world import tiny_data, tiny_model, tiny_study

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
_kept = TemporaryDirectory(prefix="xstilts-page-")
HOME = Path(_kept.name)
"""The folder it runs in."""


def small(**changes: Any) -> dict[str, Any]:
    """A study of five nodes."""
    return tiny_study(name="small", arms={"none": {}}, targets=["pawsx"], languages=["en", "de"], **changes)


@cache
def page() -> dict[str, Any]:
    """What the page's code leaves behind."""
    (HOME / "DATA").symlink_to(tiny_data())
    (HOME / "submission").mkdir()
    (HOME / "submission" / "pawsx").symlink_to(tiny_data() / "labels" / "pawsx")
    (HOME / "FacebookAI").mkdir()
    (HOME / "FacebookAI" / "xlm-roberta-base").symlink_to(tiny_model())
    (HOME / "study.yaml").write_text(yaml.safe_dump(small()))
    code = "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    (HOME / "page.py").write_text(code)
    before = Path.cwd()
    os.chdir(HOME)
    try:
        return runpy.run_path("page.py")
    finally:
        os.chdir(before)
