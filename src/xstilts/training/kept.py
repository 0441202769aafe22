"""Encoders that a training keeps on the way, evenly spaced, so that they can be evaluated beside its last one.

Until the training ends they lie with its checkpoints, for an attempt that is killed leaves nothing else; each appears whole
by one rename, before any checkpoint of its step. So a training that goes on from a checkpoint finds those of the steps before
it, and makes the later ones itself. In the finished node they are ``at/STEP/``, folders like ``model/`` without a head.

    at/120/                   beside the checkpoints
        config.json ...       as ``export`` writes it
        kept.json             size and sha-256 of every file, while the training is not over
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from xstilts.errors import StoreError, TrainingError
from xstilts.graph.claim import Claim
from xstilts.graph.disk import as_text, aside, guarded, read_json, settle, sync_folder, write_synced
from xstilts.graph.node import Node
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.models.text_model import TextModel
from xstilts.models.trained_rows import whole_rows
from xstilts.training.checkpoint import Checkpoints, is_whole
from xstilts.training.ranks import Ranks

AT = "at"
RECORD = "kept.json"


def kept_steps(total: int, count: int) -> tuple[int, ...]:
    """``count`` different steps that cut ``total`` evenly: neither the start nor the end.

    Raises:
        TrainingError: there are not so many.
    """
    if count >= total:
        raise TrainingError(
            f"{count} checkpoints cannot be kept on the way through {total} step{'s' * (total > 1)}",
            hint="retrieval.checkpoints: at most one less than the steps of the shortest intermediate training",
        )
    return tuple(round(number * total / (count + 1)) for number in range(1, count + 1))


def kept_folder(node: Path, number: int) -> Path:
    """The encoder that the finished training in ``node`` kept as its ``number``-th, from 1."""
    return sorted((node / AT).iterdir(), key=lambda folder: int(folder.name))[number - 1]


@dataclass(frozen=True)
class Kept:
    """What is kept of one training.

    Args:
        steps: after these updates.
        name: what is learned.
        folder: where they lie until the training is over; made when the first is written.
        held: entered while one appears; raises when the folder is another process's by now.
        whole: of a model that is parted among processes, all of it; ``None`` in those that write nothing.
    """

    steps: tuple[int, ...]
    name: str
    folder: Path
    held: Callable[[], AbstractContextManager[None]] = nullcontext
    whole: Callable[[Model], Model | None] = lambda model: model

    @classmethod
    def of(cls, node: Node, total: int, out: Path, whole: Callable[[Model], Model | None]) -> Kept | None:
        """What a node with so many steps is asked to keep; ``None`` for nothing."""
        count = node.spec.get("checkpoints", 0)
        if not count:
            return None
        name = "+".join(node.spec["parts"]) if "parts" in node.spec else str(node.spec["task"])
        claim = Claim.of(out)
        return cls(kept_steps(total, count), name, claim.checkpoints / AT, claim.held, whole)

    def make_ready(self, checkpoints: Checkpoints) -> None:
        """Let a training go on only from before the first encoder that is not there whole: it will be made again."""
        if Ranks.here().rank == 0 and (halves := list(self.folder.glob(".*.aside"))):
            with self.held():
                for half in halves:
                    shutil.rmtree(half)
        missing = [step for step in self.steps if not self._is_there(step)]
        if missing:
            checkpoints.drop_from(missing[0])

    def _is_there(self, step: int) -> bool:
        home = self.folder / str(step)
        try:
            promised = read_json(home / RECORD)
            return all(is_whole(home / name, of) for name, of in promised.items())
        except (OSError, StoreError, AttributeError, KeyError, TypeError):
            return False

    def write(self, model: Model | TextModel, step: int) -> None:
        """Keep the encoder as it is after ``step``; one that an earlier attempt left there is replaced.

        Raises:
            StoreError: the disk refuses, or the folder is another process's by now.
        """
        assert not isinstance(model, TextModel), "refused when a study is planned"
        home = self.folder / str(step)
        fresh = aside(home)
        with guarded(home):
            try:
                with whole_rows(model.encoder):
                    whole = self.whole(Model(model.encoder, None, None, model.tokenizer, model.source))
                    if whole is None:
                        return
                    encoder = Model(whole.encoder, None, None, model.tokenizer, model.source)
                    export(encoder, fresh, self.name, "encoder")
                files = {path.name: settle(path) for path in sorted(fresh.iterdir())}
                write_synced(fresh / RECORD, as_text(files))
                sync_folder(fresh)
                with self.held():
                    if home.exists():
                        shutil.rmtree(home)
                    fresh.rename(home)
                    sync_folder(self.folder)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise

    def deliver(self, out: Path) -> None:
        """Put them into the output folder; they stay with the checkpoints until the node is finished."""
        with guarded(out):
            for step in self.steps:
                shutil.copytree(
                    self.folder / str(step),
                    out / AT / str(step),
                    ignore=shutil.ignore_patterns(RECORD),
                    copy_function=_place,
                )


def _place(source: str, target: str) -> None:
    """The same file under a second name, or a copy where the file system has only one name for a file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
