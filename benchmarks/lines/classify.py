"""XNLI test rows, from text to labels, against transformers' pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.peers import pipelines
from benchmarks.race import Agreement, Contender, Difference, Race, Ready
from benchmarks.rows import LANGUAGES, spread
from benchmarks.setting import MICRO_BATCH_TOKENS, Setting
from xstilts.data.pairs import NLI_LABELS
from xstilts.hyperparameters import Encoding
from xstilts.inference.predict import predict
from xstilts.models.model import Model
from xstilts.task_types import Classification

ENCODING = Encoding(max_length=128)
NEAR = 1e-3, 0.1
"""Probabilities that differ by less are the same: in float32, in bfloat16."""
OURS = "xstilts"


def races(setting: Setting) -> Iterator[Race]:
    """One race: English and Chinese rows mixed."""
    task_type = Classification(NLI_LABELS)
    whole = [row for language in LANGUAGES for row in setting.source.pairs("test", language)]
    lengths = setting.encode(task_type, whole, ENCODING).lengths
    chosen = spread(lengths, setting.rows, setting.seed)
    examples, lengths = [whole[i] for i in chosen], lengths[chosen]
    folder = setting.with_head("xnli", task_type.name, task_type.head, setting.encode(task_type, examples, ENCODING))
    inputs = [{"text": e.first, "text_pair": e.second} for e in examples]
    tokens, flops = int(lengths.sum()), setting.flops(lengths.tolist(), reads=len(lengths))

    def ours() -> Ready:
        model = Model.load(folder, precision=setting.precision)

        def call() -> list[dict[str, Any]]:
            return predict(model, task_type, examples, ENCODING, micro_batch_tokens=MICRO_BATCH_TOKENS)[0]

        return Ready(call, computed=tokens)

    options = {"truncation": True, "max_length": ENCODING.max_length}
    peers = pipelines("text-classification", folder, setting.precision, inputs, lengths, **options)
    yield Race(
        name="classify",
        unit="tokens",
        contenders={name: Contender(make, tokens, flops) for name, make in {OURS: ours, **peers}.items()},
        base=OURS,
        check=lambda answers: same_labels(answers, [e.id for e in examples], setting.near(*NEAR)),
        notes={"rows": len(examples), "tokens": tokens},
    )


def same_labels(answers: Mapping[str, Sequence[Mapping[str, Any]]], ids: Sequence[str], near: float) -> Agreement:
    """The same label for every row, with the same probability. ``ids`` are the rows'."""
    ours, differences = answers[OURS], []
    labels = {str(row["label"]) for row in ours}
    for name, theirs in answers.items():
        if name == OURS:
            continue
        for row_id, own, other in zip(ids, ours, theirs, strict=True):
            chances = dict(zip(NLI_LABELS, np.exp(own["scores"]).tolist(), strict=True))
            given = chances[other["label"]]
            # Another label than ours is a tie when ours comes out as likely.
            distance = max(abs(given - other["score"]), chances[own["label"]] - given)
            if own["label"] != other["label"] or not distance <= near:
                where = f"row {row_id}: {own['label']}, {name}: {other['label']}"
                differences.append(Difference(where, distance))
    return Agreement(f"labels of {len(ids)} rows ({len(labels)} labels occur)", differences, near)
