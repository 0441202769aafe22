"""Fine-tuning on XNLI train rows, tokens of real text a second, against transformers' Trainer.

Ours, dynamic padding and fixed padding take the same truly random batches; ``group_by_length`` takes those of its sampler
that stand for its epoch. Set-up and the first step are not counted. Every call trains on from where the last one ended.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from benchmarks.race import Agreement, Contender, Difference, Race, Ready
from benchmarks.rows import positions
from benchmarks.setting import MICRO_BATCH_TOKENS, Setting
from benchmarks.trainer import Item, Watch, fitting, grouped, items_of, train_once
from xstilts.data.pairs import NLI_LABELS
from xstilts.hyperparameters import Encoding, Training
from xstilts.models.model import Model
from xstilts.models.trained_rows import trained_rows
from xstilts.task_types import Classification, Features
from xstilts.task_types.base import IntArray
from xstilts.training import TaskCourse, train

ENCODING = Encoding(max_length=128)
BATCHES = (16, 32)
CURVE_BATCH, MEMORY_BATCH = 16, 32
NEAR = 0.02, 0.1
"""Losses without dropout that differ by less are the same: rounding, grown over the steps, in float32 and in bfloat16."""
OURS, GROUPED = "xstilts", "Trainer, group by length"
DYNAMIC, FIXED = "Trainer, dynamic padding", "Trainer, padded to 128"


def races(setting: Setting) -> Iterator[Race]:
    """Batches of 16 and 32, dropout as the model has it and off."""
    task_type = Classification(NLI_LABELS)
    features = setting.encode(task_type, setting.source.pairs("train", "en"), ENCODING)
    folder = setting.with_head("xnli-train", task_type.name, task_type.head)
    for size, dropout in product(BATCHES, (None, 0.0)):
        steps = 1 + max(2, setting.training_rows // size)
        yield Fitting(setting, task_type, features, folder, size, dropout).race(steps)


class Fitting:
    """One setting of training, and everybody's way to do it."""

    def __init__(
        self,
        setting: Setting,
        task_type: Classification,
        features: Features,
        folder: Path,
        size: int,
        dropout: float | None,
    ) -> None:
        self.setting, self.task_type, self.features, self.folder = setting, task_type, features, folder
        self.size, self.dropout = size, dropout
        assert features.targets is not None
        self.labels = features.targets.tolist()

    def race(self, steps: int) -> Race:
        """Over so many steps, the first of which is not counted."""
        course = self.course(steps)
        randomly = [course.sequences(i) for i in range(steps)]
        by_length = grouped(self.features.lengths, self.size, steps, self.setting.seed)
        made: Mapping[str, tuple[Callable[[], Ready], list[IntArray]]] = {
            OURS: (lambda: self.ours(steps), randomly),
            GROUPED: (lambda: self.theirs(by_length, steps), by_length),
            DYNAMIC: (lambda: self.theirs(randomly, steps), randomly),
            FIXED: (lambda: self.theirs(randomly, steps, padding="max_length"), randomly),
        }
        return Race(
            name=f"train, batch {self.size}, {'dropout' if self.dropout is None else 'no dropout'}",
            unit="tokens",
            contenders={
                name: Contender(make, self._tokens(batches), self._flops(batches))
                for name, (make, batches) in made.items()
            },
            base=OURS,
            check=self.same_curves,
            memory=self.size == MEMORY_BATCH and self.dropout is None,
            notes={"steps": steps - 1, "rows": self.features.num_examples, "dropout": self.dropout},
        )

    def _tokens(self, batches: Sequence[IntArray]) -> int:
        return int(sum(self.features.lengths[batch].sum() for batch in batches[1:]))

    def _flops(self, batches: Sequence[IntArray]) -> int | None:
        """Forward and, twice as much, backward."""
        lengths = np.concatenate([self.features.lengths[batch] for batch in batches[1:]])
        forward = self.setting.flops(lengths.tolist(), reads=len(lengths))
        return None if forward is None else 3 * forward

    def course(self, steps: int) -> TaskCourse:
        """What ours learns from."""
        settings = Training(
            batch_size=self.size,
            max_steps=steps,
            warmup=0,
            selection="last",
            dropout=self.dropout,
            attention_dropout=self.dropout,
        )
        return TaskCourse(self.task_type, self.features, settings, self.setting.seed)

    def model(self) -> Model:
        """What ours starts from."""
        return Model.start(
            self.setting.model,
            self.task_type.head,
            self.setting.seed,
            precision=self.setting.precision,
            dropout=self.dropout,
            attention_dropout=self.dropout,
        )

    def ours(self, steps: int) -> Ready:
        """As ``xstilts run`` trains."""
        course = self.course(steps)
        model = self.model()
        tokens = self._tokens([course.sequences(i) for i in range(steps)])
        return Ready(lambda: self.train_ours(model, course).timed(), computed=tokens)

    def train_ours(self, model: Model, course: TaskCourse) -> Watch:
        """One training."""
        watch = Watch()
        with trained_rows(model.encoder, self.features.input_ids):
            train(
                model,
                course,
                micro_batch_tokens=MICRO_BATCH_TOKENS,
                dev=None,
                progress=watch.progress,
                log=self.setting.scratch / "training.jsonl",
            )
        return watch

    def theirs(self, batches: Sequence[IntArray], steps: int, padding: bool | str = True) -> Ready:
        """The Trainer on the given batches."""
        model, settings = fitting(self.folder, AutoModelForSequenceClassification, self.dropout), self.course(steps)
        items, collate = items_of(self.features, labels=self.labels), self.collator(padding)
        precision = self.setting.precision
        computed = positions(
            [self.features.lengths[batch] for batch in batches[1:]], None if padding is True else ENCODING.max_length
        )

        def call() -> Any:
            return train_once(model, items, batches, collate, settings.settings, precision=precision).timed()

        return Ready(call, computed=computed)

    def collator(self, padding: bool | str) -> Callable[[list[Item]], Any]:
        """Pads a batch to its longest sequence, or all to 128."""
        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        collator: Callable[[list[Item]], Any] = DataCollatorWithPadding(
            tokenizer, padding=padding, max_length=ENCODING.max_length
        )
        return collator

    def same_curves(self, _: Mapping[str, Any]) -> Agreement:
        """The same losses, step by step, from the same weights on the same batches."""
        if self.size != CURVE_BATCH:
            return Agreement("not compared: the curves of the smaller batch are")
        steps = self.setting.curve_steps
        course = self.course(steps)
        model = self.model()
        ours = self.train_ours(model, course).losses
        del model
        batches = [course.sequences(i) for i in range(steps)]
        theirs = train_once(
            fitting(self.folder, AutoModelForSequenceClassification, self.dropout),
            items_of(self.features, labels=self.labels),
            batches,
            self.collator(True),
            course.settings,
            precision=self.setting.precision,
            losses=True,
        ).losses
        return compared(ours, theirs, self.setting.near(*NEAR), exact=self.dropout == 0.0)


def compared(ours: Sequence[float], theirs: Sequence[float], within: float, *, exact: bool) -> Agreement:
    """Loss curves: every step where nothing is random; else their mean difference against its own noise.

    Args:
        ours, theirs: the loss of each step.
        within: what rounding explains.
        exact: dropout is off, so that the same batches give the same losses.
    """
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    evidence = {"our_losses": [round(x, 5) for x in ours], "their_losses": [round(x, 5) for x in theirs]}
    if exact:
        largest = max(map(abs, apart))
        differences = [Difference(f"step {i + 1}", abs(d)) for i, d in enumerate(apart) if not abs(d) <= within]
        return Agreement(
            f"losses of {len(apart)} steps, largest difference {largest:.1e}", differences, within, evidence
        )
    mean, error = statistics.fmean(apart), statistics.stdev(apart) / math.sqrt(len(apart))
    near = within + 3 * error
    differences = [] if abs(mean) <= near else [Difference("mean over all steps", abs(mean))]
    said = f"losses of {len(apart)} steps, mean difference {mean:.3f}, standard error {error:.3f}"
    return Agreement(said, differences, near, evidence)
