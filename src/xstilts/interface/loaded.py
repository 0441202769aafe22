"""A model in Python: its answers, its vectors, its scores on one's own rows, and what it becomes when it learns from them."""

from __future__ import annotations

import shutil
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal

from xstilts import tasks
from xstilts.errors import ModelError
from xstilts.interface.shown import Tables
from xstilts.interface.words import check_numbers, check_stream, files_of, in_python
from xstilts.model_source import drawn_weights
from xstilts.own_text.models import (
    check_layer,
    find_folder,
    history_of,
    load_embedder,
    load_predictor,
    task_of,
)
from xstilts.own_text.outputs import MICRO_BATCH_TOKENS, Counts, Output, Step, outputs, predictions, vectors
from xstilts.own_text.reading import GIVEN, own_examples, own_rows
from xstilts.tasks.task import Task

if TYPE_CHECKING:
    from xstilts.hyperparameters import Encoding
    from xstilts.models.model import Model
    from xstilts.models.streamed_model import StreamedModel
    from xstilts.own_text.models import Predictor
    from xstilts.task_types import TaskType
    from xstilts.task_types.base import FloatArray

Rows = str | Path | Iterable[Any]
"""A file, or rows given in Python: texts, pairs of texts, lists of words, or mappings with the fields of a JSON line."""


@in_python
def load(
    name: str | Path,
    *,
    store: str | Path = "store",
    task_file: str | Path | Sequence[str | Path] = (),
    max_length: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    device: str = "cpu",
    stream: Literal["auto", "always", "never"] = "auto",
) -> LoadedModel:
    """A model, to embed, predict, train and measure with. Its weights are read when they are first needed.

    Args:
        name: a Hugging Face folder; the key (or its first digits) of a training or of a number in the results of ``store``;
            or a model of the hub, ``OWNER/NAME`` or ``OWNER/NAME@REVISION``.
        store: where keys are looked up.
        task_file: the file of a task of your own that it may have been trained on, or several. They are run as code.
        max_length: sub-words of a sequence; by default as in its training, for vectors 512.
        precision: ``auto`` is bf16 where the device has it.
        device: ``cpu`` or ``cuda:N``.
        stream: leave the weights in their files and read a layer at a time; ``auto``: where they do not fit into memory.

    Raises:
        ModelError: there is no such model, or the hub does not give it.
        MissingNameError, StoreError: no node or several nodes of the store begin so.
    """
    folder = find_folder(str(name), Path(store)).absolute()
    if how := drawn_weights(folder):
        warnings.warn(f"random weights ({how}): {folder} was not pre-trained; its answers mean nothing", stacklevel=3)
    files = files_of(task_file)
    return LoadedModel(
        folder, task_file=files, max_length=max_length, precision=precision, device=device, stream=stream
    )


class LoadedModel:
    """A model folder and how it runs: what ``load`` and ``train`` give.

    Args:
        folder: where it lies.
        task_file, max_length, precision, device, stream: see ``load``.
        scratch: a folder that it lies in and that goes when it goes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        task_file: tuple[Path, ...] = (),
        max_length: int | None = None,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        device: str = "cpu",
        stream: Literal["auto", "always", "never"] = "auto",
        scratch: Path | None = None,
    ) -> None:
        check_stream(stream)
        self.folder, self.task_file, self.max_length = folder, task_file, max_length
        self.precision: Literal["auto", "fp32", "bf16"] = precision
        self.device, self.stream = str(device), stream  # a torch.device, too
        if scratch is not None:
            weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)

    def __repr__(self) -> str:
        return f"<{f'model of {self.task}' if self.task else 'encoder'}: {self.folder}>"

    @property
    def task(self) -> str | None:
        """The task that its head was trained on; ``None`` for an encoder alone."""
        return task_of(self.folder)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What its training wrote: one mapping a step (``step``, ``loss``, ``learning_rate``, ...) or dev score."""
        return history_of(self.folder)

    @in_python
    def predict(self, rows: Rows, *, format: str | None = None, skip_bad: bool = False) -> list[dict[str, Any]]:
        """The head's answer for each row, in order: what ``xstilts predict`` writes.

        Args:
            rows: a file, or rows: texts, pairs of texts, lists of words or mappings, as the task needs.
            format: of a file, where its suffix does not say it: txt, tsv, jsonl, conll.
            skip_bad: a bad row becomes ``{"error": WHY}`` instead of an exception.

        Returns:
            ``label`` and ``probabilities``; ``words`` and ``tags``; ``answer``, ``start``, ``end``, ``score`` and
            ``null_score``; or ``choice``, ``text`` and ``probabilities``. ``cut`` and ``dropped_tokens`` are there where a
            row was too long.

        Raises:
            ModelError: this model has no head that predicts.
            DataError: a bad row, with its place and what a row must hold.
        """
        of = self._predictor
        step = predictions(of)
        return [*self._outputs(rows, of.task_type, step, of.model, format, skip_bad, pairs=of.pairs)]

    @in_python
    def embed(
        self,
        rows: Rows,
        *,
        layer: int | None = None,
        pooling: Literal["mean", "first"] = "mean",
        format: str | None = None,
        skip_bad: bool = False,
    ) -> FloatArray:
        """A vector for each text, in order: float32, texts x hidden size, not normalised.

        Args:
            rows: a file, or texts.
            layer: 0 is the embedding output; the last by default. Layers above it are not run.
            pooling: over sub-words, special ones too.
            format: of a file, where its suffix does not say it: txt, jsonl.
            skip_bad: a bad row becomes a row of NaN instead of an exception.

        Raises:
            ModelError: there is no such layer.
            DataError: a bad row, with its place and what a row must hold.
        """
        import numpy as np

        model, encoding = self._embedder
        step = vectors(model, encoding, layer=check_layer(model, layer), pooling=pooling)
        missing = np.full(model.hidden_size, np.nan, np.float32)
        made = self._outputs(rows, None, step, model, format, skip_bad)
        return np.stack([output.get("vector", missing) for output in made])

    @in_python
    def score(self, rows: Rows, *, language: str = "en") -> dict[str, float]:
        """The task's own metrics of this model's answers to rows whose gold is known, 0..100.

        Args:
            rows: a .jsonl file or mappings, with gold: ``label``, ``tags`` or ``answers``.
            language: of the rows; question answering leaves out that language's articles.

        Raises:
            ModelError: this model has no head that predicts.
            DataError: a bad row or one without gold, with its place.
        """
        from xstilts.dev_scores import scorer

        of = self._predictor
        task = tasks.load(str(self.task))
        examples = own_examples(rows, task.type, pairs=of.pairs)
        return scorer(of.model, task, of.task_type, examples, of.encoding, language, MICRO_BATCH_TOKENS)()

    @in_python
    def train(
        self,
        task: str | Path,
        rows: Rows,
        *,
        dev: Rows | None = None,
        to: str | Path | None = None,
        seed: int = 1,
        max_length: int | None = None,
        micro_batch_tokens: int = MICRO_BATCH_TOKENS,
        progress: Callable[..., None] | None = None,
        **settings: Any,
    ) -> LoadedModel:
        """A new model: this encoder with a new head, both trained on your rows. This model stays what it is.

        Intermediate training and fine-tuning are this call, one after the other: ``load(X).train(A, ...).train(B, ...)``.
        A study does the same in nodes that resume, for many models, tasks and seeds.

        Args:
            task: a task's name, or the file of a task of your own (run as code).
            rows: a .jsonl file or mappings: the fields ``predict`` reads, and ``label``, ``tags`` or ``answers``.
            dev: rows of the same kind: the checkpoint with the best main score on them is kept; else the last.
            to: the new model's folder; by default a scratch folder that goes when the model goes.
            seed: of the head, the order of the rows and dropout.
            max_length: sub-words of a sequence; by default as this model was loaded, else the task's.
            micro_batch_tokens: sub-words in one forward pass.
            progress: called as ``progress(done, total, "steps", loss=...)`` after every step.
            settings: what is not as the task has it: ``epochs``, ``max_steps``, ``learning_rate``, ``batch_size`` and other
                fields of a study's ``training``.

        Raises:
            MissingNameError, StudyError: no such task or setting, or one that cannot be.
            DataError: a bad row or one without gold, with its place.
            TrainingError: the loss is not a number.
            StoreError: ``to`` is there already or cannot be made.
        """
        from xstilts.own_text.learning import learn_rows, settings_of

        check_numbers(seed=(seed, 0), micro_batch_tokens=(micro_batch_tokens, 1))
        chosen = _task(task)
        pairs = tasks.outside_digest(chosen.name) is None
        examples = own_examples(rows, chosen.type, pairs=pairs)
        dev_examples = [] if dev is None else own_examples(dev, chosen.type, pairs=pairs, name="dev")
        training = settings_of(chosen, settings, has_dev=bool(dev_examples))
        with _place(to) as (folder, fresh, scratch):
            learn_rows(
                self.folder,
                chosen,
                examples,
                dev_examples,
                training,
                self.max_length if max_length is None else max_length,
                fresh,
                seed=seed,
                precision=self.precision,
                device=self.device,
                micro_batch_tokens=micro_batch_tokens,
                progress=progress or (lambda *_, **__: None),
            )
        return LoadedModel(folder, precision=self.precision, device=self.device, stream=self.stream, scratch=scratch)

    @in_python
    def bench(self, target: str, *, data: str | Path = "data", **how: Any) -> Tables:
        """Throughput and latency on a target's real rows, language by language, in fresh processes: ``xstilts bench``.

        Args:
            target: the task whose rows are answered.
            data: the data folder.
            how: ``split``, ``languages``, ``rows``, ``runs``, ``seconds``, ``p99_ms``, ``layer`` and ``threads``: see
                ``xstilts.benching``.

        Returns:
            a table, and one mapping for each language and for ``all`` of them: seconds are seconds, rates are a second.

        Raises:
            DataError: the data folder has no such rows.
            MeasurementError: the model does not fit the target, or a measured process failed.
        """
        from xstilts.benching import bench_folder
        from xstilts.report.impact.one_model import model_grid, model_rows

        how = {"max_length": self.max_length, "precision": self.precision, "device": self.device, **how}
        measured, _ = bench_folder(
            self.folder, target, Path(data), progress=lambda *_, **__: None, task_files=self.task_file, **how
        )
        return Tables((model_grid(measured),), model_rows(measured))

    @property
    def _how(self) -> dict[str, Any]:
        said = {"max_length": self.max_length, "precision": self.precision}
        return {**said, "device": self.device, "stream": self.stream}

    @cached_property
    def _predictor(self) -> Predictor:
        return load_predictor(self.folder, task_files=self.task_file, **self._how)

    @cached_property
    def _embedder(self) -> tuple[Model | StreamedModel, Encoding]:
        return load_embedder(self.folder, **self._how)

    @staticmethod
    def _outputs(
        rows: Rows,
        task_type: TaskType | None,
        step: Step,
        model: Model | StreamedModel,
        format: str | None,
        skip_bad: bool,
        *,
        pairs: bool = False,
    ) -> Iterator[Output]:
        """The outputs without the numbers of their lines: their order says as much."""
        from xstilts.models.streamed_model import StreamedModel

        found = own_rows(rows, task_type, format=format, pairs=pairs)
        name = str(rows) if isinstance(rows, str | Path) else GIVEN
        counts, whole = Counts(), isinstance(model, StreamedModel)
        for chunk in outputs(found, step, counts, name=name, skip_bad=skip_bad, whole=whole):
            for output in chunk:
                del output["line"]
                yield output
        if counts.cut:
            said = f"{counts.cut:,} of {counts.rows:,} rows were too long and cut: load with another max_length"
            warnings.warn(said, stacklevel=4)


def _task(task: str | Path) -> Task:
    """A task by its name, or the one that a file declares.

    Raises:
        MissingNameError, DataError: there is no such task or file.
        ModelError: a task that nothing is trained for.
    """
    found = tasks.load_file(Path(task)) if str(task).endswith(".py") else tasks.load(str(task))
    if found.type.head is None:
        raise ModelError(f"{found.name} is scored without any training: an encoder's vectors are searched")
    return found


@contextmanager
def _place(to: str | Path | None) -> Iterator[tuple[Path, Path, Path | None]]:
    """Where the new model will lie, where it is written until it is whole, and the scratch folder around it, if any."""
    from xstilts.exporting.whole import whole_folder

    if to is None:
        scratch = Path(mkdtemp(prefix="xstilts-model-"))
        folder = scratch / "trained"
        folder.mkdir()
        try:
            yield folder, folder, scratch
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    else:
        with whole_folder(Path(to)) as fresh:
            yield Path(to).absolute(), fresh, None
