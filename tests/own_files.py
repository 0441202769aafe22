"""Files of one's own rows, and the same rows as examples."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tiny_world import tiny_data


def texts(count: int, seed: int = 0) -> list[str]:
    words = (tiny_data() / "xnli" / "test-en.tsv").read_text().split()
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(1, 12))) for _ in range(count)]


def own_file(folder: Path, task: str, count: int) -> tuple[Path, list[Any]]:
    """A file of ``count`` rows for the model of ``task``, and the same rows as examples."""
    from xstilts.task_types import ChoiceExample, PairExample, SpanExample, TaggingExample

    left, right = texts(count), texts(count, 1)
    path = folder / f"{task}.{'tsv' if task == 'xnli' else 'txt' if task == 'udpos' else 'jsonl'}"
    made: list[Any]
    if task == "xnli":
        made = [PairExample(str(i), a, b, None) for i, (a, b) in enumerate(zip(left, right, strict=True))]
        path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(left, right, strict=True)))
    elif task == "udpos":
        made = [TaggingExample(str(i), tuple(a.split()), None) for i, a in enumerate(left)]
        path.write_text("".join(f"{a}\n" for a in left))
    elif task == "xquad":
        made = [SpanExample(str(i), a[:9], b * 20, None) for i, (a, b) in enumerate(zip(left, right, strict=True))]
        path.write_text("".join(json.dumps({"question": e.question, "context": e.context}) + "\n" for e in made))
    else:
        made = [
            ChoiceExample(str(i), a, tuple(b.split() * 5)[:5], None)
            for i, (a, b) in enumerate(zip(left, right, strict=True))
        ]
        path.write_text("".join(json.dumps({"question": e.prompt, "choices": e.choices}) + "\n" for e in made))
    return path, made
