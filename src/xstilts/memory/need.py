"""What a process holds, part by part, at each moment that could be its fullest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GIB = 2**30
WIDENED = "embedding matrix"
GAPS = "gaps in the heap"
Parts = Mapping[str, int]


@dataclass(frozen=True)
class Need:
    """The memory of one process on one device.

    Args:
        moments: moment -> part -> bytes of memory of its own.
        mapped: bytes of weights that are used where they lie in their file: pages the system can take back and read again,
            which costs time, not failure. 0 on a GPU.
        host: what the process holds beside it, where the device is a GPU.
    """

    moments: Mapping[str, Parts]
    mapped: int = 0
    host: Mapping[str, Parts] = field(default_factory=dict)

    @property
    def fullest(self) -> str:
        """The moment with the most."""
        return max(self.moments, key=lambda moment: sum(self.moments[moment].values()))

    @property
    def parts(self) -> Parts:
        """What is held then."""
        return self.moments[self.fullest]

    @property
    def bytes(self) -> int:
        """All of it."""
        return sum(self.parts.values())

    @property
    def resident(self) -> int:
        """The same with what is mapped: what must stay in memory for a run that does not read its weights again and again.

        At the end of a training the mapped matrix becomes the process's own (``WIDENED``): it counts once.
        """
        return max(
            sum(of.values()) + self.mapped - min(self.mapped, of.get(WIDENED, 0)) for of in self.moments.values()
        )

    @property
    def host_bytes(self) -> int:
        """On the host, where the device is a GPU."""
        return max((sum(parts.values()) for parts in self.host.values()), default=0)

    def as_json(self) -> dict[str, Any]:
        """Plain data: GiB at the fullest moment, by part."""
        return {
            "gib": round(self.bytes / GIB, 2),
            "moment": self.fullest,
            "parts_gib": {name: round(size / GIB, 3) for name, size in self.parts.items() if size},
            "mapped_gib": round(self.mapped / GIB, 2),
            "host_gib": round(self.host_bytes / GIB, 2),
        }


def gib(size: float) -> str:
    """``12.3 GiB``; below one, ``310 MiB``."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
