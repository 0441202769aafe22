"""The files of text that a study says come from the hub: which rows each is made from, and whether one came from there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from xstilts.errors import DataError
from xstilts.hub import writing
from xstilts.hub.declared import Copy
from xstilts.hub.ledger import Origin
from xstilts.hub.needs import Text
from xstilts.hyperparameters import HubText

_COMMIT = re.compile(r"[0-9a-f]{40}")


def text_copies(wanted: Iterable[Text]) -> Iterator[tuple[str, Copy]]:
    """Language and rows of every file of text that has a source on the hub, each file once.

    Raises:
        DataError: one file would have to come from two places.
    """
    seen: dict[str, tuple[str, Copy]] = {}
    for text in wanted:
        if text.hub is None:
            continue
        for language in text.languages:
            copy = _copy(text.hub, text.pattern.replace("{language}", language), language)
            if copy.path not in seen:
                seen[copy.path] = text.where, copy
                yield language, copy
            elif not _same_rows(copy, seen[copy.path][1]):
                raise DataError(
                    f"{copy.path} comes from one place on the hub in {seen[copy.path][0]}, from another in {text.where}",
                    where=f"{text.where}.hub",
                    hint=f"give each a file of its own, with {text.where}.text, or name one place",
                )


def as_asked(origin: Origin, copy: Copy) -> bool:
    """Whether a file that came from the hub came from where the study says now."""
    asked = (copy.dataset, copy.config, copy.split, *copy.columns, copy.lines)
    came = (origin.dataset, origin.config, origin.split, origin.column, origin.lines)
    return came == asked and (not _COMMIT.fullmatch(copy.branch) or origin.revision == copy.branch)


def _same_rows(one: Copy, other: Copy) -> bool:
    return replace(one, write=other.write) == other  # writers of equal settings are not equal


def _copy(hub: HubText, path: str, language: str) -> Copy:
    config = hub.config[language] if isinstance(hub.config, dict) else hub.config
    column = hub.column.replace("{language}", language)
    return Copy(
        path,
        hub.dataset,
        None if config is None else config.replace("{language}", language),
        hub.split.replace("{language}", language),
        (column,),
        writing.texts(column, hub.lines),
        branch=hub.revision or "main",
        lines=hub.lines,
    )
