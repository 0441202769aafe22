"""Masked LM with the whole vocabulary, against the reference example: logits at every position.

Each row's two texts are one line. The example pads to the longest line of a batch, batches drawn at random or grouped by
length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling

from benchmarks.race import Agreement, Contender, Difference, Race, Ready
from benchmarks.rows import positions
from benchmarks.setting import MICRO_BATCH_TOKENS, Setting
from benchmarks.trainer import Watch, fitting, grouped, items_of, train_once
from xstilts.batching import Batch
from xstilts.batching.masking import Masking
from xstilts.hyperparameters import Encoding, Training
from xstilts.models.model import Model
from xstilts.task_types import Features, Head, Retrieval
from xstilts.task_types.base import IntArray
from xstilts.training import MicroBatch, train
from xstilts.training.masked_lm import Corpus, MaskedLMCourse

ENCODING = Encoding(max_length=128)
BATCH = 16
MASK = 0.15
NEAR = 1e-4, 1e-2
"""Losses of one batch that differ by this share are the same: in float32, ours in bfloat16."""
OURS, GROUPED, DYNAMIC = "xstilts", "Trainer, group by length", "Trainer, dynamic padding"
_SHARE = 2  # a step costs many times one of the other line


def races(setting: Setting) -> Iterator[Race]:
    """One race, dropout as the model has it."""
    steps = 1 + max(2, setting.training_rows // _SHARE // BATCH)
    course = course_of(setting, steps)
    features, settings = course.features, course.settings
    head = Head("masked_lm", setting.vocabulary)
    folder = setting.with_head("masked_lm", "masked_lm", head)
    randomly = [np.concatenate([part.rows for part in _parts(course, i)]) for i in range(steps)]
    by_length = grouped(features.lengths, BATCH, steps, setting.seed)

    def ours() -> Ready:
        model = Model.start(setting.model, head, setting.seed, precision=setting.precision)

        def call() -> Any:
            watch, log = Watch(), setting.scratch / "training.jsonl"
            train(model, course, micro_batch_tokens=MICRO_BATCH_TOKENS, dev=None, progress=watch.progress, log=log)
            return watch.timed()

        return Ready(call, computed=_tokens(features, randomly))

    def theirs(batches: Sequence[IntArray]) -> Ready:
        model, items = fitting(folder, AutoModelForMaskedLM, None), items_of(features)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASK)
        precision = setting.precision
        computed = positions([features.lengths[batch] for batch in batches[1:]])
        return Ready(
            lambda: train_once(model, items, batches, collate, settings, precision=precision).timed(), computed=computed
        )

    made = {
        OURS: (ours, randomly),
        GROUPED: (lambda: theirs(by_length), by_length),
        DYNAMIC: (lambda: theirs(randomly), randomly),
    }
    yield Race(
        name="masked-lm",
        unit="tokens",
        contenders={
            name: Contender(make, _tokens(features, batches), _flops(setting, features, batches))
            for name, (make, batches) in made.items()
        },
        base=OURS,
        check=lambda _: same_loss(setting, folder, head, course),
        memory=True,
        notes={"steps": steps - 1, "batch": BATCH, "vocabulary": setting.vocabulary, "rows": features.num_examples},
    )


def course_of(setting: Setting, steps: int) -> MaskedLMCourse:
    """Ours, over so many steps."""
    texts = [f"{row.first} {row.second}" for row in setting.source.pairs("train", "en")]
    features = setting.encode(Retrieval("nearest"), texts, ENCODING)
    settings = Training(batch_size=BATCH, max_steps=steps, warmup=0, selection="last")
    masking = Masking.of(setting.tokenizer, MASK)
    return MaskedLMCourse(features, [Corpus(0, len(texts), 1.0)], masking, settings, setting.seed)


def _parts(course: MaskedLMCourse, number: int) -> list[MicroBatch]:
    return list(course.step(number, MICRO_BATCH_TOKENS, torch.device("cpu")).micro_batches)


def _tokens(features: Features, batches: Sequence[IntArray]) -> int:
    return int(sum(features.lengths[batch].sum() for batch in batches[1:]))


def _flops(setting: Setting, features: Features, batches: Sequence[IntArray]) -> int | None:
    """Forward and, twice as much, backward; logits for the expected number of hidden sub-words."""
    lengths = np.concatenate([features.lengths[batch] for batch in batches[1:]])
    hidden = round(MASK * int((lengths - 2).sum()))
    forward = setting.flops(lengths.tolist(), reads=hidden)
    head = 2 * hidden * setting.hidden_size * (setting.vocabulary + setting.hidden_size)
    return None if forward is None else 3 * (forward + head)


def same_loss(setting: Setting, folder: Path, head: Head, course: MaskedLMCourse) -> Agreement:
    """The same loss on the same hidden sub-words, without dropout."""
    parts = _parts(course, 0)
    items = sum(len(part.targets) for part in parts)
    model = Model.start(setting.model, head, setting.seed, precision=setting.precision)
    with torch.inference_mode():
        ours = sum(float(course.loss(model, part)) for part in parts) / items
        del model
        plain = fitting(folder, AutoModelForMaskedLM, None).eval()
        theirs = sum(float(plain(**padded(part)).loss) * len(part.targets) for part in parts) / items
    apart, near = abs(ours - theirs) / theirs, setting.near(*NEAR)
    said = f"loss of {items} hidden sub-words: ours {ours:.6f}, theirs {theirs:.6f}"
    return Agreement(said, [] if apart <= near else [Difference("mean loss", apart)], near)


def padded(part: MicroBatch) -> Mapping[str, torch.Tensor]:
    """A micro-batch as ``AutoModelForMaskedLM`` takes it."""
    assert isinstance(part.batch, Batch)
    lengths = part.batch.lengths
    labels = torch.full_like(part.batch.input_ids, -100)
    labels[part.batch.read] = part.targets
    ids, gold = (
        torch.nn.utils.rnn.pad_sequence(list(torch.split(flat, list(lengths))), batch_first=True, padding_value=fill)
        for flat, fill in ((part.batch.input_ids, 1), (labels, -100))
    )
    real = torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]
    return {"input_ids": ids, "attention_mask": real.long(), "labels": gold}
