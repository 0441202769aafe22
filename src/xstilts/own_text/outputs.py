"""From rows to outputs, a chunk at a time: predictions of a head, or pooled hidden states of an encoder."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xstilts.errors import DataError, ModelError
from xstilts.own_text.models import Predictor
from xstilts.own_text.reading import CHUNK_ROWS, Row, chunks, place
from xstilts.task_types import Classification, MultipleChoice, Retrieval, Tagging, TaskType, Tokenizer

if TYPE_CHECKING:
    from xstilts.hyperparameters import Encoding
    from xstilts.models.model import Model
    from xstilts.models.streamed_model import StreamedModel
    from xstilts.task_types import Features
    from xstilts.task_types.base import FloatArray

MICRO_BATCH_TOKENS = 4096
Output = dict[str, Any]
Step = Callable[[Sequence[Any]], list[Output]]
"""Examples of one chunk to their outputs, in order."""


@dataclass
class Counts:
    """What happened so far."""

    rows: int = 0
    bad: int = 0
    cut: int = 0


def outputs(
    rows: Iterable[Row],
    step: Step,
    counts: Counts,
    *,
    name: str,
    skip_bad: bool,
    chunk_rows: int = CHUNK_ROWS,
    whole: bool = False,
) -> Iterator[list[Output]]:
    """One output for each row, in order, chunk after chunk; each names its ``line``.

    Args:
        rows: may be endless: one chunk is in memory at a time.
        step: computes a chunk.
        counts: kept up to date.
        name: of the file, in errors.
        skip_bad: a bad row becomes ``{"line", "error"}`` instead of an error.
        chunk_rows: rows of a chunk.
        whole: all rows are one chunk: a streamed model reads its weights once for each.

    Raises:
        DataError: a bad row, with ``name:line``.
    """
    checked = _checked(rows, name, skip_bad)
    for chunk in chunks(checked, sys.maxsize, math.inf) if whole else chunks(checked, chunk_rows):
        good = [row.example for row in chunk if not row.problem]
        found = iter(step(good) if good else ())
        made = [{"line": row.line, **({"error": row.problem} if row.problem else next(found))} for row in chunk]
        counts.rows += len(made)
        counts.bad += len(chunk) - len(good)
        counts.cut += sum(1 for output in made if output.get("cut"))
        yield made


def _checked(rows: Iterable[Row], name: str, skip_bad: bool) -> Iterator[Row]:
    for row in rows:
        if row.problem and not skip_bad:
            raise DataError(
                row.problem, where=place(name, row.line), hint="--skip-bad writes an error for such a row and goes on"
            )
        yield row


def predictions(predictor: Predictor, told: Callable[..., None] | None = None) -> Step:
    """The step that predicts.

    | shape | output |
    |---|---|
    | classification | ``label``, ``probabilities`` by label |
    | tagging | ``words``, ``tags`` |
    | span | ``answer``, its characters ``start`` to ``end``, its ``score``, ``null_score`` |
    | multiple choice | ``choice`` (from 0), its ``text``, ``probabilities`` in the order of the choices |

    ``cut`` and ``dropped_tokens`` are there when something was left out, ``windows`` when there was more than one. A
    SQuAD v2.0 head answers with the empty text where the null score wins. ``told(done, total, "layers")`` is how far a
    streamed model is.
    """
    from xstilts.inference.predict import predict_logits
    from xstilts.inference.stream import Room
    from xstilts.models.streamed_model import StreamedModel

    model, task_type, encoding = predictor.model, predictor.task_type, predictor.encoding

    def step(examples: Sequence[Any]) -> list[Output]:
        features = task_type.encode(examples, model.tokenizer, encoding)
        _check_vocabulary(model, features)
        with (
            TemporaryDirectory(prefix="xstilts-states-")
            if isinstance(model, StreamedModel)
            else nullcontext("") as scratch
        ):
            room = Room(Path(scratch), every_seconds=math.inf) if scratch else None
            progress = told if scratch else None
            logits = predict_logits(
                model, features, micro_batch_tokens=MICRO_BATCH_TOKENS, room=room, progress=progress
            )
        decoded = task_type.decode(examples, features, logits, encoding)
        dropped = _dropped(task_type, examples, features.counts, model.tokenizer, encoding)
        windows = [0] * len(examples)
        for example in features.example:
            windows[int(example)] += 1
        one = task_type.num_choices if isinstance(task_type, MultipleChoice) else 1
        return [
            _shown(task_type, e, output)
            | ({"windows": count} if count > one else {})
            | ({"cut": True, "dropped_tokens": lost} if lost else {})
            for e, output, count, lost in zip(examples, decoded, windows, dropped, strict=True)
        ]

    return step


def _num_embeddings(model: Model | StreamedModel) -> int:
    return int(model.encoder.transformer.get_input_embeddings().num_embeddings)


def _check_vocabulary(model: Model | StreamedModel, features: Features) -> None:
    """Raise ``ModelError`` for a sub-word without an embedding: on a GPU it would take the process down."""
    highest, known = int(features.input_ids.max(initial=0)), _num_embeddings(model)
    if highest >= known:
        raise ModelError(
            f"the tokenizer gives sub-word {highest}, but the encoder knows {known} (from 0)",
            where=str(model.source),
            hint="the folder's tokenizer and weights are not of the same model",
        )


def _check_finite(model: Model | StreamedModel, pooled: FloatArray) -> None:
    """A vector that is not a number could not be told from that of a bad row."""
    import numpy as np

    bad = int((~np.isfinite(pooled).all(axis=1)).sum())
    if bad:
        raise ModelError(
            f"vectors of {bad} of {len(pooled)} texts are not finite numbers",
            where=str(model.source),
            hint="the weights are damaged or the precision overflows: try fp32",
        )


def _shown(task_type: TaskType, example: Any, output: Output) -> Output:
    match task_type:
        case Classification(labels=labels):
            return {"label": output["label"], "probabilities": dict(zip(labels, _probabilities(output), strict=True))}
        case Tagging():
            return {"words": list(example.words), "tags": output["tags"]}
        case MultipleChoice():
            choice = output["choice"]
            return {"choice": choice, "text": example.choices[choice], "probabilities": _probabilities(output)}
    answer = task_type.answer(output)
    scores = {"score": output["score"], "null_score": output["null_score"]}
    if not answer:
        return {"answer": "", "start": None, "end": None, **scores}
    return {"answer": answer, "start": output["start"], "end": output["start"] + len(answer), **scores}


def _probabilities(output: Output) -> list[float]:
    return [round(math.exp(score), 5) for score in output["scores"]]


def _dropped(
    task_type: TaskType, examples: Sequence[Any], counts: dict[str, int], tokenizer: Tokenizer, encoding: Encoding
) -> list[int]:
    """Sub-words that each example lost. A chunk only knows their sum, so its examples are encoded again if there are any."""
    if not counts["dropped_tokens"]:
        return [0] * len(examples)
    return [task_type.encode([e], tokenizer, encoding).counts["dropped_tokens"] for e in examples]


def vectors(
    model: Model | StreamedModel,
    encoding: Encoding,
    *,
    layer: int,
    pooling: str,
    told: Callable[..., None] | None = None,
) -> Step:
    """The step that embeds: ``vector`` (float32, H) of a text, and ``cut`` and ``dropped_tokens`` as above.

    Layers above ``layer`` are not run. Vectors are not normalised.
    """
    from xstilts.inference.embed import embed
    from xstilts.models.streamed_model import StreamedModel

    def step(texts: Sequence[str]) -> list[Output]:
        if model.tokenizer.rust.get_vocab_size() > _num_embeddings(model):  # else nothing can be outside
            _check_vocabulary(model, Retrieval("nearest").encode(texts, model.tokenizer, encoding))
        with TemporaryDirectory(prefix="xstilts-embed-") as scratch:
            found = embed(
                model,
                texts,
                encoding,
                layers=[layer],
                poolings=[pooling],
                out=Path(scratch),
                micro_batch_tokens=MICRO_BATCH_TOKENS,
                progress=told if isinstance(model, StreamedModel) else None,
            )
            pooled = found.matrix(layer, pooling)[found.rows]
        _check_finite(model, pooled)
        dropped = _dropped(Retrieval("nearest"), texts, found.counts, model.tokenizer, encoding)
        return [
            {"vector": vector} | ({"cut": True, "dropped_tokens": lost} if lost else {})
            for vector, lost in zip(pooled, dropped, strict=True)
        ]

    return step
