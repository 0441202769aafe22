"""A data folder that holds the whole world, in the published formats and under the published names."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Hashable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xstilts.errors import DataError
from xstilts.pocket import targets
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, text_of
from xstilts.pocket.identity import FILE, VERSION, digest, is_current
from xstilts.pocket.intermediates import intermediates
from xstilts.pocket.scenes import Phrase, Saying, Scene
from xstilts.pocket.text import bitext, monolingual
from xstilts.pocket.world import POCKET, World

EXAMPLE = Scene(
    Phrase("baker", adjective="old"),
    "paint",
    Phrase("chair", adjective="red", amount="two"),
    place=Phrase("garden"),
    time="yesterday",
)
"""The sentence that ``pocket.json`` gives in every language."""


def make_world(folder: Path, world: World = POCKET) -> None:
    """Write the world's data folder: every task's files, ``text/`` for masked LM, ``pocket.json``, ``README.md``.

    The folder appears whole by one rename, or not at all. Equal worlds give equal bytes, in every process, so a folder
    that holds this very world already, perhaps since another process made it a moment ago, is left as it is.

    Raises:
        DataError: ``folder`` is there and is not this world, or its parent cannot be written to.
    """
    folder = Path(folder)
    if _is_there(folder, world):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".aside", dir=folder.parent))
    except OSError as error:
        raise DataError(f"cannot make the folder: {error.strerror}", where=str(folder)) from error
    try:
        fresh.chmod(0o755)  # mkdtemp's folders are for their owner only
        for name, text in files(world):
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        fresh.rename(folder)
    except OSError as error:
        if not _is_there(folder, world):
            raise DataError(f"cannot write the world: {error.strerror}", where=str(folder)) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_there(folder: Path, world: World) -> bool:
    """Whether ``folder`` is this world; anything else of that name is refused."""
    if is_current(folder, world):
        return True
    if folder.exists() or folder.is_symlink():
        what = "the folder is there already, and was not made from these settings by this version"
        raise DataError(what, where=str(folder), hint="name a new one, or remove it first")
    return False


def files(world: World) -> Iterator[tuple[str, str]]:
    """Name under the folder and content of every file."""
    speakers = [Speaker(tongue, world.seed) for tongue in world.tongues]
    source = speakers[0]
    reserved: set[Saying] = set()  # what retrieval tests say is in no text and no bitext
    pairs: set[Hashable] = set()  # what XNLI and udpos say in the source is in no intermediate task of their kind
    tagged: set[Hashable] = set()
    yield FILE, json.dumps(described(world, speakers), ensure_ascii=False, indent=1) + "\n"
    yield "README.md", _readme(world)
    yield from targets.classification(world, speakers, pairs)
    yield from targets.tagging(world, speakers, tagged)
    yield from targets.questions(world, speakers)
    yield from targets.retrieval(world, speakers, reserved)
    yield from intermediates(world, speakers, pairs, tagged)
    for speaker in speakers:
        code = speaker.tongue.code
        lines = monolingual(speaker, source, Draw(world.seed, "text", code), world.text_lines, reserved)
        yield f"text/{code}.txt", "".join(f"{line}\n" for line in lines)
        if speaker is not source:
            count = round(world.bitext_lines * speaker.tongue.bitext)
            lines = bitext(speaker, source, Draw(world.seed, "bitext", code), count, reserved)
            yield f"text/{code}-en.tsv", "".join(f"{line}\n" for line in lines)


def summary(folder: Path, world: World) -> str:
    """What was made, where, and what one does next, in lines for people."""
    tongues = (f"  {t.code:4} {t.name:15} distance {t.distance}" for t in world.tongues)
    return "\n".join(
        (
            f"A pocket world (seed {world.seed}) is in {folder}; all of it is constructed.",
            *tongues,
            "It holds the files of every task, text for masked LM and translations; its README.md says more.",
            f"Next: xstilts data check --data {folder}",
        )
    )


def described(world: World, speakers: list[Speaker]) -> dict[str, Any]:
    """The generator's version, the settings with their digest, and each language with its distance and one sentence."""
    settings = {name: value for name, value in asdict(world).items() if name != "tongues"}
    languages = [{**asdict(s.tongue), "example": text_of(s.say(EXAMPLE))} for s in speakers]
    return {"version": VERSION, "digest": digest(world), "settings": settings, "languages": languages}


def _readme(world: World) -> str:
    listed = ", ".join(f"`{t.code}` {t.name} ({t.distance})" for t in world.tongues[1:])
    return f"""# A pocket world (seed {world.seed})

Everything in this folder is constructed by `xstilts data pocket`: no sentence was written or collected by anybody.
`en` is a small, regular language that is like English; it is not English. The others have ISO 639's private-use codes
and stand at declared distances from it, given in brackets:
{listed}.

The files have the names and formats of XTREME's tasks and of the intermediate tasks, so everything that reads those
reads these. Their names say nothing about the content: `xnli` is not XNLI, and scores on it compare with nothing but
other scores on the same world. `text/LL.txt` is text for masked LM, `text/LL-en.tsv` translations. What the retrieval
tests say is in no text and no bitext. `pocket.json` holds the generator's version and the settings from which every
byte here follows.
"""
