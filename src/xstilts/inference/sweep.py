"""Retrieval at every layer and pooling: one pass of the encoder over both sides, then one search for each pair of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch

from xstilts.hyperparameters import Encoding
from xstilts.inference.embed import Embeddings, LayerModel, Progress, embed, embed_together
from xstilts.inference.mine import mine, mined_rows
from xstilts.inference.search import nearest
from xstilts.models.streamed_model import StreamedModel
from xstilts.task_types import Bitext

Row = dict[str, Any]
Search = Callable[[Bitext, Embeddings, Embeddings, int, str, torch.device], Iterator[Row]]


@dataclass(frozen=True)
class Sweep:
    """The rows of a sweep, and what was cut from the sentences.

    ``rows`` is an iterator, read once: each layer and pooling is searched when its rows are asked for, and its embeddings
    are removed from the scratch folder after that. ``close`` removes them early.
    """

    rows: Iterator[Row]
    counts: dict[str, int]
    scratch: Path

    def close(self) -> None:
        """Remove the embeddings; done by itself when the last row was read."""
        shutil.rmtree(self.scratch, ignore_errors=True)


def sweep_nearest(
    model: LayerModel,
    bitext: Bitext,
    encoding: Encoding,
    *,
    layers: Sequence[int],
    poolings: Sequence[str],
    scratch: Path,
    micro_batch_tokens: int = 4096,
    progress: Progress | None = None,
) -> Sweep:
    """Tatoeba: the nearest foreign candidate, by cosine, of every English query, at every layer and pooling.

    Args:
        model, encoding, layers, poolings, micro_batch_tokens: as for ``embed``.
        bitext: its gold is not looked at.
        scratch: a folder for the embeddings, at most (sentences x H x 4) bytes x layers x poolings.
        progress: told how many distinct sentences of both sides are embedded.

    Returns:
        Rows ``{"layer", "pooling", "query", "neighbour", "score"}``: for each layer, then pooling, the queries in order;
        ``query`` is its id and ``neighbour`` the 0-based index of the candidate (the first of equal sentences).
    """
    return _sweep(model, bitext, encoding, layers, poolings, scratch, micro_batch_tokens, progress, _nearest_rows)


def sweep_mined(
    model: LayerModel,
    bitext: Bitext,
    encoding: Encoding,
    *,
    layers: Sequence[int],
    poolings: Sequence[str],
    scratch: Path,
    micro_batch_tokens: int = 4096,
    progress: Progress | None = None,
) -> Sweep:
    """BUCC: mined pairs at every layer and pooling (on test: the one that was chosen on dev).

    Takes what ``sweep_nearest`` takes. Rows are ``{"layer", "pooling", "source", "target", "margin"}``: for each layer,
    then pooling, the mined pairs by falling margin, before any threshold.
    """
    return _sweep(model, bitext, encoding, layers, poolings, scratch, micro_batch_tokens, progress, _mined_rows)


def stream_sweeps(
    model: StreamedModel,
    bitexts: Mapping[str, Bitext],
    mode: Literal["nearest", "mined"],
    encoding: Encoding,
    *,
    layers: Sequence[int],
    poolings: Sequence[str],
    scratch: Path,
    micro_batch_tokens: int = 4096,
    progress: Callable[..., None] | None = None,
) -> Iterator[tuple[str, Sweep]]:
    """The sweep of each language by a streamed model: as many of them in one pass over the weights as the disk has room for.

    Takes what ``sweep_nearest`` takes, but ``progress(done, total, unit, at=languages)`` is told in layers. Read the rows of
    a sweep before asking for the next one.
    """
    search = _nearest_rows if mode == "nearest" else _mined_rows
    per_sentence = model.hidden_size * 4 * len(set(layers)) * len(set(poolings))
    sizes = {name: len(set(b.queries)) + len(set(b.candidates)) for name, b in bitexts.items()}
    for group in _groups({name: n * per_sentence for name, n in sizes.items()}, shutil.disk_usage(scratch).free // 2):
        folder = Path(tempfile.mkdtemp(prefix="embeddings-", dir=scratch))
        try:
            sets = []
            for number, name in enumerate(group):
                for side in ("queries", "candidates"):
                    (folder / f"{number}" / side).mkdir(parents=True)
                    sets.append((getattr(bitexts[name], side), folder / f"{number}" / side))
            embedded = embed_together(
                model,
                sets,
                encoding,
                layers=layers,
                poolings=poolings,
                scratch=folder,
                micro_batch_tokens=micro_batch_tokens,
                progress=None if progress is None else partial(progress, at=f"{group[0]} to {group[-1]}"),
            )
            for number, name in enumerate(group):
                queries, candidates = embedded[2 * number : 2 * number + 2]
                yield name, _searched(bitexts[name], queries, candidates, model.device, folder / f"{number}", search)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _groups(sizes: Mapping[str, int], room: int) -> Iterator[list[str]]:
    """Neighbours whose sizes add up to at most ``room``, or one that is larger."""
    group: list[str] = []
    for name in sizes:
        if group and sum(sizes[n] for n in group) + sizes[name] > room:
            yield group
            group = []
        group.append(name)
    if group:
        yield group


def _searched(
    bitext: Bitext, queries: Embeddings, candidates: Embeddings, device: torch.device, folder: Path, search: Search
) -> Sweep:
    counts = {name: n + candidates.counts[name] for name, n in queries.counts.items()}
    return Sweep(_rows(bitext, queries, candidates, device, folder, search), counts, folder)


def _sweep(
    model: LayerModel,
    bitext: Bitext,
    encoding: Encoding,
    layers: Sequence[int],
    poolings: Sequence[str],
    scratch: Path,
    micro_batch_tokens: int,
    progress: Progress | None,
    search: Search,
) -> Sweep:
    """Embed now; search when the rows are read."""
    folder = Path(tempfile.mkdtemp(prefix="embeddings-", dir=scratch))
    sides = []
    total = len(set(bitext.queries)) + len(set(bitext.candidates))
    try:
        for name, sentences, before in (
            ("queries", bitext.queries, 0),
            ("candidates", bitext.candidates, len(set(bitext.queries))),
        ):
            (folder / name).mkdir()
            sides.append(
                embed(
                    model,
                    sentences,
                    encoding,
                    layers=layers,
                    poolings=poolings,
                    out=folder / name,
                    micro_batch_tokens=micro_batch_tokens,
                    progress=_shifted(progress, before, total),
                )
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    queries, candidates = sides
    return _searched(bitext, queries, candidates, model.device, folder, search)


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress on one side as progress on both."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def _rows(
    bitext: Bitext, queries: Embeddings, candidates: Embeddings, device: torch.device, folder: Path, search: Search
) -> Iterator[Row]:
    try:
        for layer, pooling in product(queries.layers, queries.poolings):
            for row in search(bitext, queries, candidates, layer, pooling, device):
                yield {"layer": layer, "pooling": pooling, **row}
            queries.discard(layer, pooling)
            candidates.discard(layer, pooling)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nearest_rows(
    bitext: Bitext, queries: Embeddings, candidates: Embeddings, layer: int, pooling: str, device: torch.device
) -> Iterator[Row]:
    found = nearest(queries.matrix(layer, pooling), candidates.matrix(layer, pooling), 1, device=device)
    # Distinct sentences are numbered by first occurrence: the first sentence of a row is the smallest index of its ties.
    neighbours, scores = candidates.sentences[found.indices[:, 0]].tolist(), found.scores[:, 0].tolist()
    for query_id, row in zip(bitext.query_ids, queries.rows.tolist(), strict=True):
        yield {"query": query_id, "neighbour": neighbours[row], "score": scores[row]}


def _mined_rows(
    bitext: Bitext, queries: Embeddings, candidates: Embeddings, layer: int, pooling: str, device: torch.device
) -> Iterator[Row]:
    pairs = mine(queries.matrix(layer, pooling), candidates.matrix(layer, pooling), device=device)
    return mined_rows(pairs, bitext, queries, candidates)
