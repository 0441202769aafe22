"""What a study measures of its models' inference: the load, the scenarios, and how arms are compared. Part of a node's key.

The words are MLPerf's: a *query* asks for the answers of one or more *samples*; *offline* gives all samples at once;
*single-stream* asks for one after the other; *server* draws arrival times from a Poisson process.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xstilts.hyperparameters import Frozen

Layer = Literal["calibrated", "fixed", "last"]
MLPERF_SECONDS = 600.0
"""The shortest MLPerf run (FACTS 7.1): shorter ones are ours, and are not called compliant."""


class Offline(Frozen):
    """Passes over the whole load until ``min_seconds`` have gone by; at least ``min_passes``."""

    min_seconds: float = Field(3.0, gt=0)
    min_passes: int = Field(2, ge=1)


class SingleStream(Frozen):
    """One sample a query, the next when the last has its answer; until both minima are reached."""

    min_seconds: float = Field(3.0, gt=0)
    min_queries: int = Field(64, ge=1)


class Server(Frozen):
    """The largest Poisson rate whose 99th percentile, from the scheduled arrival, is within ``p99_ms``."""

    p99_ms: float = Field(200.0, gt=0)
    min_seconds: float = Field(10.0, gt=0)
    max_batch: int = Field(16, ge=1)
    max_queries: int = Field(4096, ge=662)


class Scenarios(Frozen):
    """Which of them are run; ``null`` leaves one out."""

    offline: Offline | None = Offline()
    single_stream: SingleStream | None = SingleStream()
    server: Server | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Scenarios:
        if self.offline is None and self.single_stream is None and self.server is None:
            raise ValueError("no scenario is left: offline, single_stream and server are all null")
        return self


class Measurement(Frozen):
    """Some arms of a study on the rows of some targets, in fresh processes that take turns.

    Args:
        targets: of the study's.
        arms: of the study's; ``null`` for all.
        split: whose rows are the load.
        languages: ``null`` for all that the study evaluates there.
        rows: of each language, by the study's fixed shuffle.
        blocks: a block is a fresh process for every system of a model, the unit of evidence.
        slices: the scenarios' time of a process is cut into so many; systems take turns, in a drawn order and back.
        together: whether the systems of a model are in memory beside each other. If not, a block runs each of them twice,
            whole, in a drawn order and its reverse: for models of which there is room for one.
        margin: two systems are equivalent when the 90 % interval of the ratio of their times lies within
            1 / (1 + margin) and 1 + margin. It is in the node's key: another margin is another measurement, so it cannot be
            chosen by the result. With a margin, each model gets a control (the baseline arm once more) that must come out
            equivalent, and a sabotaged system that must come out slower. ``null`` asks for costs only.
        slowdown: by how much the sabotaged system is made slower.
        scenarios: which, and for how long.
        warmup_seconds: unmeasured calls before.
        batch_tokens: sub-words in one forward pass, at most: the batch policy.
        layers: for retrieval targets, the layer that is read; layers above it are not run.
        seed: of the samples that are drawn, and of arrival times.
    """

    targets: tuple[str, ...] = Field(min_length=1)
    arms: tuple[str, ...] | None = None
    split: Literal["dev", "test"] = "test"
    languages: tuple[str, ...] | None = None
    rows: int = Field(32, ge=1)
    blocks: int = Field(6, ge=1)
    slices: int = Field(8, ge=1)
    together: bool = True
    margin: float | None = Field(None, gt=0, lt=1)
    slowdown: float = Field(0.05, gt=0, le=1)
    scenarios: Scenarios = Scenarios()
    warmup_seconds: float = Field(1.0, gt=0)
    batch_tokens: int = Field(4096, ge=1)
    layers: tuple[Layer, ...] = Field(("calibrated",), min_length=1)
    seed: int = 1

    @model_validator(mode="after")
    def _enough_blocks(self) -> Measurement:
        if self.margin is not None and self.blocks < 3:
            raise ValueError(f"blocks: {self.blocks} cannot show equivalence within a margin; 3 at the very least")
        return self
