"""Right of the seam: the raw text of a text-to-text model in, predictions files out. Pure, without torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.errors import PredictionError
from xstilts.graph.node import Node, Resources
from xstilts.rows import choose_rows, open_rows, without_gold
from xstilts.scoring import read_rows, write_rows
from xstilts.task_types.cast import FLAWS
from xstilts.task_types.casts import cast_of_json
from xstilts.tasks import load


def raw_file(folder: Path, split: str, language: str) -> Path:
    """Where a node leaves what was written for one language: rows of ``id``, ``text``, ``tokens`` (its length in sub-words)
    and ``ended`` (false: it was cut)."""
    return folder / "raw" / f"{split}-{language}.jsonl"


def parse(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources) -> dict[str, Any]:
    """Read every answer; leaves ``outputs/LANGUAGE.jsonl``, rows as ``decode`` makes them with their ``flaws``, and
    ``counts.json``: rows with each flaw by language. Gold is not looked at.

    Raises:
        PredictionError: the raw text is not of these rows.
    """
    spec = node.spec
    task, cast = load(spec["task"]), cast_of_json(spec["cast"])
    counts: dict[str, dict[str, int]] = {}
    for language, entry in spec["languages"].items():
        file = raw_file(parents["raw"], spec["split"], language)
        examples = without_gold(choose_rows(open_rows(task, entry, language, resources), spec["rows"]))
        raw = read_rows(file)
        if [row["id"] for row in raw] != [example.id for example in examples]:
            raise PredictionError(f"{len(raw)} texts, which are not of the {len(examples)} rows", where=str(file))
        outputs = []
        for example, row in zip(examples, raw, strict=True):
            output = cast.parse(example, row["text"])
            outputs.append({**output, "flaws": [*output["flaws"], *([] if row["ended"] else ["unfinished"])]})
        found = Counter(flaw for output in outputs for flaw in output["flaws"])
        counts[language] = {"rows": len(outputs), **{flaw: found[flaw] for flaw in FLAWS}}
        write_rows(out / "outputs" / f"{language}.jsonl", outputs)
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return {name: sum(of[name] for of in counts.values()) for name in ("rows", *FLAWS)}
