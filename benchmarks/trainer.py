"""transformers' Trainer as a peer: fused AdamW, nothing evaluated, saved or logged, and only its own loop on the watch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from benchmarks.race import Timed
from xstilts.hyperparameters import Training
from xstilts.models.loading import quiet
from xstilts.models.precision import Precision
from xstilts.task_types import Features
from xstilts.task_types.base import IntArray

Item = dict[str, Any]


class Watch:
    """Notes when each step ended, and its loss where one is told."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def timed(self) -> Timed:
        """Seconds from the end of the first step to the end of the last: set-up and first step are not counted."""
        return Timed(self.ends[-1] - self.ends[0], self.losses)

    def progress(self, done: int, total: int, unit: str, **shown: Any) -> None:
        """Told by our loop after every step."""
        self.ends.append(time.perf_counter())
        self.losses.append(shown["loss"])


class _Told(TrainerCallback):  # type: ignore[misc]
    """Tells a watch."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A step is done."""
        self.watch.ends.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """A loss was told."""
        if logs and "loss" in logs:
            self.watch.losses.append(float(logs["loss"]))


class _Given(Trainer):  # type: ignore[misc]
    """Trains on rows in a given order, which stands for a longer training's."""

    def __init__(self, order: Sequence[int], **options: Any) -> None:
        self.order = order
        super().__init__(**options)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return list(self.order)


def train_once(
    model: Any,
    items: Sequence[Item],
    batches: Sequence[IntArray],
    collate: Callable[[list[Item]], Any],
    settings: Training,
    *,
    precision: Precision = "fp32",
    losses: bool = False,
) -> Watch:
    """One training on the given batches, with the same hyper-parameters as ours.

    Args:
        model: of ``AutoModelFor...``; trained in place.
        items: the training set, as sub-words.
        batches: rows of each step, equally many in each.
        collate: pads a batch.
        settings: hyper-parameters; the schedule is linear.
        precision: ``bf16`` trains under autocast, as ours does.
        losses: log every step's loss, which costs some time.
    """
    watch = Watch()
    with TemporaryDirectory() as out, quiet():
        arguments = TrainingArguments(
            output_dir=out,
            per_device_train_batch_size=settings.batch_size,
            max_steps=len(batches),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            adam_epsilon=settings.adam_epsilon,
            adam_beta1=settings.adam_betas[0],
            adam_beta2=settings.adam_betas[1],
            max_grad_norm=settings.clip_norm,
            warmup_steps=0,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            save_strategy="no",
            eval_strategy="no",
            logging_strategy="steps" if losses else "no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            bf16=precision == "bf16",
            remove_unused_columns=False,
        )
        trainer = _Given(
            list(chain.from_iterable(batch.tolist() for batch in batches)),
            model=model,
            args=arguments,
            train_dataset=list(items),
            data_collator=collate,
            callbacks=[_Told(watch)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return watch


def grouped(lengths: IntArray, batch_size: int, steps: int, seed: int) -> list[IntArray]:
    """``steps`` batches that stand for an epoch of ``group_by_length``: at even steps of its batches sorted by tokens.

    Its first batches are the longest of a pool of fifty, so the first steps of an epoch would not do.
    """
    sampler = LengthGroupedSampler(batch_size, lengths=lengths.tolist(), generator=torch.Generator().manual_seed(seed))
    order = np.fromiter(sampler, np.int64)
    batches = [order[i : i + batch_size] for i in range(0, len(order) - batch_size + 1, batch_size)]
    batches.sort(key=lambda batch: int(lengths[batch].sum()))
    chosen = [batches[int((i + 0.5) * len(batches) / steps)] for i in range(steps)]
    return [chosen[i] for i in np.random.default_rng(seed).permutation(steps)]


def items_of(features: Features, **more: Sequence[Any]) -> list[Item]:
    """Sequences as the Trainer's collators take them; ``more`` adds a column."""

    def each() -> Iterator[Item]:
        for i in range(features.num_sequences):
            ids = features.input_ids[features.offsets[i] : features.offsets[i + 1]].tolist()
            yield {
                "input_ids": ids,
                "attention_mask": [1] * len(ids),
                **{name: column[i] for name, column in more.items()},
            }

    return list(each())


def fitting(path: Path, auto: Any, dropout: float | None) -> Any:
    """A model for training, with dropout as its config has it or as given."""
    off = {} if dropout is None else {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    with quiet():
        return auto.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True, **off)
