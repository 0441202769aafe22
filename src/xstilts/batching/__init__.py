"""From features to batches: which sequences go through a model together, and in what order."""

from xstilts.batching.batch import Batch, gather, ranges
from xstilts.batching.micro_batches import inference_batches, micro_batches
from xstilts.batching.order import epoch_order

__all__ = ["Batch", "epoch_order", "gather", "inference_batches", "micro_batches", "ranges"]
