"""The order in which an epoch visits the examples."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from xstilts.task_types.base import IntArray


@lru_cache(maxsize=16)  # every step of an epoch asks, of each task of a mixture; a million rows take 20 ms
def epoch_order(num_examples: int, seed: int, epoch: int) -> IntArray:
    """A permutation of ``range(num_examples)``: a pure function of its arguments. Read-only.

    The rule: ``Generator(PCG64(SeedSequence((seed, epoch)))).permutation(num_examples)``. It draws from no global
    generator, so a resumed run finds its place again from the step's number alone.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch))))
    order = generator.permutation(num_examples).astype(np.int64)
    order.flags.writeable = False
    return order
