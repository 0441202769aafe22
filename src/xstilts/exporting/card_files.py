"""What lies beside an exported model's weights: its card, structured results, the study file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xstilts.exporting.card import Content, card
from xstilts.exporting.hub_results import eval_results
from xstilts.exporting.licences import licence_of
from xstilts.exporting.lineage import Lineage
from xstilts.exporting.study_file import study_text
from xstilts.report.data_used import data_used

CARD = "README.md"
RESULTS = ".eval_results"
STUDY = "study.yaml"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        folder: whole.
        files: bytes by name.
        notes: what to tell about it.
    """

    folder: Path
    files: dict[str, int]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"folder": str(self.folder), "files": self.files, "notes": list(self.notes)}


def exported(to: Path, notes: list[str]) -> Exported:
    """The finished folder ``to``."""
    files = {p.relative_to(to).as_posix(): p.stat().st_size for p in sorted(to.rglob("*")) if p.is_file()}
    return Exported(to, files, tuple(notes))


def write_card(
    out: Path, known: Lineage | None, *, name: str, shape: str, library: str, load: str, about: tuple[str, ...]
) -> list[str]:
    """Write README.md, and from what the store knows ``.eval_results/TASK.yaml`` and ``study.yaml``.

    Args:
        out: the folder, with its weights in it.
        known: see ``lineage``.
        name, shape, library, load, about: see ``card.Content``.

    Returns:
        What to tell whoever exports.
    """
    notes = []
    study = None
    used = data_used([*known.stages, *known.scored_by], known.payload) if known else []
    licence = licence_of(used, known.choice if known else {})
    notes += [f"licence `other`: {reason}" for reason in licence.reasons]
    if known is not None:
        entries, reasons = eval_results(known)
        for task, found in entries.items():
            (out / RESULTS).mkdir(exist_ok=True)
            text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
            (out / RESULTS / f"{task}.yaml").write_text(text, encoding="utf-8")
        notes += [f"no {RESULTS} entry of {reason}" for reason in reasons]
        study = study_text(known.study) if known.study else None
        if study is not None:
            (out / STUDY).write_text(study, encoding="utf-8")
    else:
        notes.append("the folder lies in no store, so the card knows no training and no scores")
    content = Content(name, shape, library, load, about, known, used, licence, study is not None)
    (out / CARD).write_text(card(content), encoding="utf-8")
    return notes
