"""The peers, used as somebody who knows them would: evaluation mode, no gradients, SDPA attention."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer, pipeline

from benchmarks.race import Ready
from benchmarks.rows import in_batches, positions
from xstilts.inference.search import Neighbours
from xstilts.models.loading import quiet
from xstilts.models.precision import Precision
from xstilts.task_types.base import FloatArray, IntArray

DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def plain(precision: Precision) -> dict[str, Any]:
    """How every peer's model is loaded for inference: in bfloat16 all its weights are, which is faster than autocast."""
    return {"dtype": DTYPES[precision], "attn_implementation": "sdpa", "local_files_only": True}


DEFAULT, BEST = "transformers pipeline", "transformers pipeline, best batch"
SORTED = "transformers pipeline, sorted, best batch"
IN_ORDER_SIZES, SORTED_SIZES = (1, 2, 4, 8, 16, 32), (8, 16, 32)
"""Of batches that are tried: rows in random order lose more by padding the larger a batch is, and a batch of one nothing."""


def best_of(settings: Sequence[Ready]) -> Ready:
    """The fastest of some settings: each is called twice, there and back, and its better time counts."""
    seconds = [float("inf")] * len(settings)
    for i in (*range(len(settings)), *reversed(range(len(settings)))):
        start = time.perf_counter()
        settings[i].call()
        seconds[i] = min(seconds[i], time.perf_counter() - start)
    return settings[int(np.argmin(seconds))]


def load_pipeline(task: str, folder: Path, precision: Precision) -> Any:
    """A ``transformers`` pipeline on the CPU."""
    with quiet():
        return pipeline(
            task,
            model=str(folder),
            tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
            device="cpu",
            dtype=DTYPES[precision],
            model_kwargs={"attn_implementation": "sdpa"},
        )


def pipelines(
    task: str, folder: Path, precision: Precision, inputs: Sequence[Any], lengths: IntArray, **options: Any
) -> dict[str, Callable[[], Ready]]:
    """A pipeline at its default (a row at a time), at the best size of batches of rows as they come, and of sorted rows."""

    def load() -> Any:
        return load_pipeline(task, folder, precision)

    def best(sizes: Sequence[int], *, sort: bool) -> Ready:
        pipe = load()
        return best_of([piped(pipe, inputs, lengths, size, sort=sort, **options) for size in sizes])

    return {
        DEFAULT: lambda: piped(load(), inputs, lengths, 1, sort=False, **options),
        BEST: lambda: best(IN_ORDER_SIZES, sort=False),
        SORTED: lambda: best(SORTED_SIZES, sort=True),
    }


def piped(pipe: Any, inputs: Sequence[Any], lengths: IntArray, batch_size: int, *, sort: bool, **options: Any) -> Ready:
    """A pass of a pipeline in batches of this size, its inputs sorted by length beforehand or not."""
    order = np.argsort(-lengths, kind="stable") if sort else np.arange(len(inputs))
    ordered = [inputs[i] for i in order]

    def call() -> list[Any]:
        answers = pipe(ordered, batch_size=batch_size, **options)
        return in_order(answers, order)

    return Ready(call, f"batch {batch_size}", positions(in_batches(lengths[order], batch_size)))


def in_order(answers: Sequence[Any], order: IntArray) -> list[Any]:
    """Answers of sorted inputs, as the inputs stood before."""
    result: list[Any] = [None] * len(answers)
    for place, answer in zip(order.tolist(), answers, strict=True):
        result[place] = answer
    return result


def sentence_encoder(folder: Path, max_length: int, precision: Precision) -> Callable[[Sequence[str], int], FloatArray]:
    """``SentenceTransformer.encode`` with mean pooling; it sorts all texts by length itself."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with quiet():
        options = {**plain(precision), "add_pooling_layer": False}
        words = Transformer(str(folder), max_seq_length=max_length, model_kwargs=options)
        encoder = SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension(), "mean")], device="cpu")

    def encode(texts: Sequence[str], batch_size: int) -> FloatArray:
        vectors: FloatArray = encoder.encode(
            list(texts), batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True
        )
        return vectors

    return encode


def layer_encoder(
    folder: Path, max_length: int, precision: Precision
) -> Callable[[Sequence[str], int, int], FloatArray]:
    """Mean-pooled hidden states of one layer, as XTREME's script has them: all layers run, all hidden states are kept."""
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, add_pooling_layer=False, **plain(precision)).eval()

    def encode(texts: Sequence[str], layer: int, batch_size: int) -> FloatArray:
        order = np.argsort([-len(text) for text in texts], kind="stable")
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                some = [texts[i] for i in order[start : start + batch_size]]
                block = tokenizer(some, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
                states = model(**block, output_hidden_states=True).hidden_states[layer].float()
                mask = block["attention_mask"][:, :, None].float()
                parts.append(((states * mask).sum(1) / mask.sum(1)).numpy())
        vectors: FloatArray = np.empty((len(texts), parts[0].shape[1]), np.float32)
        vectors[order] = np.concatenate(parts)
        return vectors

    return encode


class QuestionAnswering:
    """What transformers' run_qa example does: windows, padded batches, start and end logits, the best span of all windows.

    Args:
        folder: a model with a span head.
        max_length, stride, n_best, max_answer_length: as in the example.
        precision: of weights and work.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        stride: int,
        n_best: int,
        max_answer_length: int,
        precision: Precision,
    ) -> None:
        with quiet():
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = AutoModelForQuestionAnswering.from_pretrained(folder, **plain(precision)).eval()
        self.max_length, self.stride = max_length, stride
        self.n_best, self.max_answer_length = n_best, max_answer_length

    def __call__(
        self, rows: Sequence[tuple[str, str]], batch_size: int, *, sort: bool, pad: bool
    ) -> list[dict[str, Any]]:
        """Start, text and score of the best span for each (question, context).

        Args:
            rows: the questions.
            batch_size: windows in a batch.
            sort: sort windows by length.
            pad: pad all to ``max_length``, as the example does unless told otherwise; else to the longest of a batch.
        """
        windows = self.tokenizer(
            [question for question, _ in rows],
            [context for _, context in rows],
            truncation="only_second",
            max_length=self.max_length,
            stride=self.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding="max_length" if pad else False,
        )
        ids = windows["input_ids"]
        order = np.argsort([-len(window) for window in ids], kind="stable") if sort else np.arange(len(ids))
        best = [(-np.inf, 0, 0)] * len(rows)
        with torch.inference_mode():
            for start in range(0, len(ids), batch_size):
                some = order[start : start + batch_size].tolist()
                block = self.tokenizer.pad(
                    {name: [windows[name][w] for w in some] for name in ("input_ids", "attention_mask")},
                    return_tensors="pt",
                )
                output = self.model(**block)
                for row, w in enumerate(some):
                    found = self._best(
                        output.start_logits[row].float().numpy(),
                        output.end_logits[row].float().numpy(),
                        [k for k, side in enumerate(windows.sequence_ids(w)) if side == 1],
                        windows["offset_mapping"][w],
                    )
                    example = windows["overflow_to_sample_mapping"][w]
                    best[example] = max(best[example], found)
        spans = ((score, first, rows[i][1][first:last]) for i, (score, first, last) in enumerate(best))
        return [{"score": float(score), "start": first, "text": text} for score, first, text in spans]

    def _best(
        self, starts: FloatArray, ends: FloatArray, context: list[int], offsets: Sequence[tuple[int, int]]
    ) -> tuple[float, int, int]:
        """Score and characters of the best span of a window."""
        top_starts = np.argsort(-starts[context], kind="stable")[: self.n_best]
        top_ends = np.argsort(-ends[context], kind="stable")[: self.n_best]
        length = top_ends[None, :] - top_starts[:, None]
        scores = starts[context][top_starts][:, None] + ends[context][top_ends][None, :]
        scores = np.where((length >= 0) & (length < self.max_answer_length), scores, -np.inf)
        s, e = np.unravel_index(int(scores.argmax()), scores.shape)
        return float(scores[s, e]), offsets[context[top_starts[s]]][0], offsets[context[top_ends[e]]][1]


def flat_index(candidates: FloatArray) -> Any:
    """faiss's exact index over rows of length 1, with as many threads as torch has."""
    faiss.omp_set_num_threads(torch.get_num_threads())
    rows = candidates.copy()
    faiss.normalize_L2(rows)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def flat_search(queries: FloatArray, candidates: FloatArray, k: int) -> Neighbours:
    """Scores and places of the ``k`` nearest by cosine."""
    rows = queries.copy()
    faiss.normalize_L2(rows)
    scores, indices = flat_index(candidates).search(rows, k)
    return Neighbours(scores.astype(np.float64), indices)
