"""The processes of one training: who they are, which micro-batches are whose, and what they must agree on.

A step is the same N examples whatever the number of processes, cut into the same micro-batches: of each round of so many the
first is the first process's, the second the second's, and so on. Where the last round is not full, a process passes the
round's first through as well and multiplies its loss by zero, for all must gather the same layers at the same time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from xstilts.graph.node import Resources
from xstilts.training.course import MicroBatch


@dataclass(frozen=True)
class Ranks:
    """This process among the processes of a training: number ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """As ``joined`` or torchrun has it; alone outside."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def rounds(self, micro_batches: Iterable[MicroBatch]) -> Iterator[list[MicroBatch]]:
        """A step's micro-batches in rounds of one for each process; the last may be short."""
        rest = iter(micro_batches)
        while taken := list(islice(rest, self.count)):
            yield taken

    def every_loss(self, own: list[Tensor], number: int) -> list[Tensor]:
        """The losses of all ``number`` micro-batches of a step, in their order, from those of this process's rounds."""
        if self.count == 1:
            return own
        losses = torch.zeros(len(own), self.count, device=own[0].device)
        losses[:, self.rank] = torch.stack(own)
        dist.all_reduce(losses)
        return list(losses.flatten()[:number])

    def decided(self, number: int, device: torch.device) -> int:
        """What the first process says, in each of them."""
        if self.count == 1:
            return number
        said = torch.tensor(number, device=device)
        dist.broadcast(said, 0)
        return int(said)

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(resources: Resources) -> Iterator[Ranks]:
    """Within, the processes that ``resources`` speak of know each other: through gloo on CPUs, NCCL on GPUs.

    After an error nothing is taken down here, for that may wait for the others: whoever started the processes ends them.
    """
    if resources.processes == 1:
        yield Ranks()
        return
    on_gpu = resources.device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(resources.device)
    elif sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine, whose own name may lead nowhere
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=Path(resources.meeting).as_uri(),
        rank=resources.rank,
        world_size=resources.processes,
    )
    yield Ranks.here()
    dist.destroy_process_group()
