"""The study file of an exported model: what planned it, so that one command computes it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from xstilts.errors import StudyError
from xstilts.study_source import recorded_study

NAME = "study.yaml"


def study_text(study: Mapping[str, Any]) -> str | None:
    """A recorded study as the YAML of a study file, models of folders by the folder's name alone.

    What equals its default is left out.

    Args:
        study: as the store recorded it.

    Returns:
        ``None`` where another version of this package recorded what this one does not know.
    """
    try:
        raw = recorded_study(study).model_dump(mode="json", exclude_defaults=True)
    except StudyError:
        return None
    for choice in raw["models"].values():
        if choice.get("path"):
            choice["path"] = Path(choice["path"]).name
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=110)
