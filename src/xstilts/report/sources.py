"""In which languages the arms of a study learn: those are not zero-shot, and an arm is compared with its own baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def source_of(study: Mapping[str, Any], arm: str, *, retrieved: bool = False) -> str:
    """The language of an arm's fine-tuning rows; of its intermediate rows where nothing is fine-tuned."""
    field = "source" if retrieved else "target_source"
    return str(study["arms"][arm].get(field) or study["source"])


def learned(study: Mapping[str, Any]) -> tuple[str, ...]:
    """Every language in which any arm has training rows, the study's source first."""
    said = [study["source"]]
    for arm, choice in study["arms"].items():
        said += [source_of(study, arm), *([choice["source"]] if choice.get("source") else [])]
    return tuple(dict.fromkeys(said))


def baseline_of(study: Mapping[str, Any], arm: str) -> str | None:
    """The arm that ``arm`` is compared with; ``None`` for the first baseline, and where there is none.

    That is the first arm without intermediate training that is fine-tuned in the same language, else the first of all.
    """
    baselines = [name for name, choice in study["arms"].items() if choice["intermediate"] is None]
    if not baselines or arm == baselines[0]:
        return None
    before = [*study["arms"]][: [*study["arms"]].index(arm)] if arm in baselines else baselines
    same = [name for name in baselines if name in before and source_of(study, name) == source_of(study, arm)]
    return str((same or baselines)[0])


def source_notes(study: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know where arms learn in other languages than the study's source."""
    for arm, choice in study["arms"].items():
        if choice.get("source") or choice.get("target_source"):
            rows = [f"fine-tuning rows in {source_of(study, arm)}"]
            if choice["intermediate"] is not None:
                rows.insert(0, f"intermediate rows in {choice.get('source') or study['source']}")
            yield f"{arm} learns {' and '.join(rows)}."
    if len(learned(study)) > 1:
        yield "Averages without source languages leave out every language that any arm learns in."


def translated_notes(payload: Mapping[str, Any]) -> Iterator[str]:
    """Which rows of a recorded study a machine translated, and how."""
    for rows, how in payload.get("translated", {}).items():
        yield f"Rows of {rows} are {how}."
