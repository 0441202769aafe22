"""The sub-words of what is read and written, made once and read from the disk by every training on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xstilts.batching.texts import Rows, TextFeatures, encode_texts
from xstilts.kept_features import Parts, kept, key_of
from xstilts.task_types import Tokenizer
from xstilts.task_types.cast import Rendered
from xstilts.text_hyperparameters import TextEncoding


def kept_texts(folder: Path, said: Sequence[Rendered], tokenizer: Tokenizer, encoding: TextEncoding) -> TextFeatures:
    """What ``encode_texts`` gives, memory-mapped; made and written to ``folder`` if it is not there whole.

    Args:
        folder: of ``xstilts.kept_features``: also the features of encoders lie there.
        said: rows as their cast says them, so the cast is in the key too.

    Raises:
        StoreError: the disk refuses.
    """

    def make() -> Parts:
        made = encode_texts(said, tokenizer, encoding)
        rows = {"inputs": made.inputs, **({} if made.targets is None else {"targets": made.targets})}
        arrays = {f"{side}_{of}": getattr(each, of) for side, each in rows.items() for of in ("ids", "offsets")}
        return {**arrays, "counts": made.counts}

    key = key_of(["text to text", encoding.model_dump_json()], tokenizer, (f"{row!r}" for row in said))
    found = kept(folder / key, make)
    sides = {
        side: Rows(found[f"{side}_ids"], found[f"{side}_offsets"])
        for side in ("inputs", "targets")
        if f"{side}_ids" in found
    }
    return TextFeatures(sides["inputs"], sides.get("targets"), found["counts"])
