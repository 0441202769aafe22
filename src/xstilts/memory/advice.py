"""Which change would make a node fit, the cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from xstilts.memory.estimate import ADAPTERS, How
from xstilts.memory.need import Need

LEAST_TOKENS = 256
MOST_SHARDS = 64


@dataclass(frozen=True)
class Change:
    """One way to need less.

    Args:
        words: what is changed, and at what price.
        how: the node's way to run with it.
    """

    words: str
    how: How


def changes(how: How, *, learns: bool) -> Iterator[Change]:
    """Every change worth a try, the cheapest first: what costs nothing, then time, then devices, then another result."""
    budgets = [tokens for tokens in (how.tokens >> k for k in range(1, 12)) if tokens >= LEAST_TOKENS]
    for tokens in budgets:
        yield Change(f"--micro-batch-tokens {tokens} (the same step in more parts)", replace(how, tokens=tokens))
    if not learns:
        yield Change("layer streaming (every layer is read once for all rows)", replace(how, streaming=True))
        return
    if not how.checkpointing:
        for tokens in (how.tokens, *budgets):
            smaller = f" and --micro-batch-tokens {tokens}" if tokens != how.tokens else ""
            words = f"--gradient-checkpointing{smaller} (a third more computing)"
            yield Change(words, replace(how, checkpointing=True, tokens=tokens))
    for shards in (n for k in range(1, MOST_SHARDS.bit_length()) if (n := 2**k) > how.shards):
        sharded = replace(how, shards=shards, checkpointing=True, tokens=min(how.tokens, 2048))
        yield Change(
            f"sharding over {shards} such devices (--device cuda:0+1...), with --gradient-checkpointing", sharded
        )


def cheapest(need: Callable[[How], Need], how: How, room: int, *, learns: bool, adapts: bool) -> list[Change]:
    """The cheapest change that fits in ``room`` bytes with the same result, and LoRA where that would take more devices.

    Args:
        need: what the node needs when it is run in a way.
        how: as it would be run.
        room: bytes of the device.
        learns: whether the node is a training.
        adapts: whether it could train adapters instead.
    """

    def fits(change: Change) -> bool:
        return need(change.how).resident <= room

    first = next(filter(fits, changes(how, learns=learns)), None)
    if not adapts or (first is not None and first.how.shards == 1):
        return [] if first is None else [first]
    thin = replace(how, lora=ADAPTERS)
    tried = [
        Change(f"LoRA of rank {ADAPTERS.rank} (another training, another result)", thin),
        Change(
            f"LoRA of rank {ADAPTERS.rank} with --gradient-checkpointing (another training, another result)",
            replace(thin, checkpointing=True, tokens=min(how.tokens, 2048)),
        ),
    ]
    return [change for change in (first, next(filter(fits, tried), None)) if change is not None]
