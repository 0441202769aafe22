"""Which generator made a folder, from which settings: what ``pocket.json`` says about both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from xstilts.errors import DataError
from xstilts.outside import read_json
from xstilts.pocket.world import POCKET, World

VERSION = 3
"""Counts up when equal settings give other bytes, or the default ones change: ``test_pocket_identity.py`` sees to it.

1 (whose ``pocket.json`` says no version) let a few sentences of the retrieval tests into the text; 2 had training rows in the
source only.
"""

FILE = "pocket.json"


class Made(NamedTuple):
    """What a folder says about itself: its generator, the digest of that and the settings, seed and languages."""

    version: int
    digest: str
    seed: int
    codes: tuple[str, ...]


def digest(world: World) -> str:
    """16 hexadecimal digits that follow from the generator's version and every setting, and so stand for the bytes."""
    told = json.dumps({"version": VERSION, "world": asdict(world)}, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def read_made(folder: Path) -> Made | None:
    """What made the world in ``folder``; ``None`` where there is no ``pocket.json``.

    Raises:
        DataError: ``pocket.json`` cannot be read or is not a world's.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        told = read_json(path)
        codes = tuple(str(each["code"]) for each in told["languages"])
        return Made(int(told.get("version", 1)), str(told.get("digest", "")), int(told["settings"]["seed"]), codes)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        hint = "a pocket world is made by xstilts data pocket: remove this folder, or name another one"
        raise DataError("this does not describe a pocket world", where=str(path), hint=hint) from error


def is_current(folder: Path, world: World | None = POCKET) -> bool:
    """Whether this version of the generator made ``folder`` from the settings of ``world``, or from any if it is ``None``.

    It goes by what ``pocket.json`` says; the other files are not read.

    Raises:
        DataError: ``pocket.json`` is there and is not a world's.
    """
    made = read_made(folder)
    if made is None:
        return False
    return made.version == VERSION if world is None else made.digest == digest(world)
