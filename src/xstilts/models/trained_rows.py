"""Training with the rows of the embedding matrix that the training text holds, the other rows left where they are.

A multilingual vocabulary has 250,000 rows, of which a training on English sentences meets a tenth. The others get no
gradient, yet a plain optimizer holds a gradient and two moments for each and walks through them at every step. Here it does
not see them, and the result is that of the whole matrix all the same: a row without gradient does nothing but decay, and how
far it decays is read off one more row, of ones, that no text meets.

Shape legend: V rows of the vocabulary; K rows that are trained; H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xstilts.models.encoder import Encoder
from xstilts.models.sharding import whole
from xstilts.task_types import Features


class TrainedRows(nn.Module):
    """Stands in an encoder for its embedding matrix while some rows of it are trained.

    In training mode an id of another row is an ``IndexError`` (on a GPU an assertion): the training text was not what was
    announced. In evaluation mode any id will do, and a row that is not trained is what it would be by now.

    Args:
        whole: V x H.
        ids: of the rows to train, K, each once.
    """

    def __init__(self, whole: nn.Embedding, ids: Tensor) -> None:
        super().__init__()
        self._whole, self._ids = (whole,), ids  # in a tuple, so that it is not registered
        ones = torch.ones_like(whole.weight[:1])
        self.weight = nn.Parameter(torch.cat([whole.weight.detach()[ids], ones]), whole.weight.requires_grad)
        places = torch.full((whole.num_embeddings,), -1, device=ids.device)
        places[ids] = torch.arange(len(ids), device=ids.device)
        self.register_buffer("places", places, persistent=False)
        place = -1 if whole.padding_idx is None else int(places[whole.padding_idx])
        self.padding_idx = None if place < 0 else place

    def forward(self, ids: Tensor) -> Tensor:
        """Rows at ``ids``, of any shape."""
        places: Tensor = self.places[ids]  # type: ignore[index]
        if self.training:
            return nn.functional.embedding(places, self.weight, self.padding_idx)
        other = places < 0
        rows = nn.functional.embedding(places.clamp(min=0), self.weight, self.padding_idx)
        if other.any():
            rows[other] = self._whole[0].weight[ids[other]] * self.decay
        return rows

    @property
    def decay(self) -> Tensor:
        """What a row without gradient has been multiplied by so far."""
        return whole(self.weight.detach())[-1, 0]

    @torch.no_grad()
    def give_back(self) -> None:
        """Put the rows where they came from, and let the others decay as far as they would have."""
        self._put_into(self._whole[0].weight)

    @torch.no_grad()
    def as_whole(self) -> nn.Embedding:
        """A copy of the whole matrix as ``give_back`` would leave it now."""
        weight = self._whole[0].weight.clone()
        self._put_into(weight)
        rows, size = weight.shape
        return nn.Embedding(rows, size, self._whole[0].padding_idx, _weight=weight)

    def _put_into(self, weight: Tensor) -> None:
        rows = whole(self.weight.detach()).to(weight.device)
        if rows[-1, 0] != 1:
            weight *= rows[-1, 0]
        weight[self._ids.to(weight.device)] = rows[:-1]


def rows_met(encoder: Encoder, features: Sequence[Features]) -> AbstractContextManager[None]:
    """Within, only the embedding rows that ``features`` hold are trained, where any are: all that is learned from."""
    if not encoder.transformer.get_input_embeddings().weight.requires_grad:
        return nullcontext()
    return trained_rows(encoder, np.concatenate([np.unique(of.input_ids) for of in features]))


@contextmanager
def trained_rows(encoder: Encoder, ids: NDArray[np.integer[Any]]) -> Iterator[None]:
    """Within, the encoder's embedding matrix has the rows of ``ids`` (with repetitions) and no others to train."""
    every = encoder.transformer.get_input_embeddings()
    met = np.unique(np.append(ids, encoder.padding_id)).astype(np.int64)
    rows = TrainedRows(every, torch.from_numpy(met).to(encoder.device))
    encoder.transformer.set_input_embeddings(rows.train(every.training))
    try:
        yield
        rows.give_back()  # not after an error: of several processes the others may not be there to give their part
    finally:
        encoder.transformer.set_input_embeddings(every.train(rows.training))


@contextmanager
def whole_rows(encoder: Encoder) -> Iterator[None]:
    """Within, the encoder has its whole embedding matrix, also while only some rows are trained: a copy, to be read only."""
    rows = encoder.transformer.get_input_embeddings()
    if not isinstance(rows, TrainedRows):
        yield
        return
    encoder.transformer.set_input_embeddings(rows.as_whole())
    try:
        yield
    finally:
        encoder.transformer.set_input_embeddings(rows)
