"""What a reader must know of fine-tunings that were begun anew: how many, which, and where a collapse cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def retry_notes(payload: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], model: str) -> Iterator[str]:
    """The lines under a table of a study that declares retries.

    Args:
        payload: what the store records of the study.
        rows: its results on every split; those of dev say which last attempts are at chance still.
        model: whose fine-tunings are counted.
    """
    most = payload["study"].get("retries", {}).get("collapsed", 0)
    if not most:
        return
    tuned = {
        (c["arm"], c["target"], c["seed"]): c["retry"]
        for c in payload["cells"]
        if c["model"] == model and payload["targets"][c["target"]]["group"] != "retrieval"
    }
    begun = {place: times for place, times in tuned.items() if times}
    weak = {
        (r["arm"], r["target"], r["seed"])
        for r in rows
        if (r["model"], r["split"], r["language"]) == (model, "dev", r["source"])
        and r["status"] in ("chance", "collapsed")
    }
    named = ", ".join(
        f"{arm}/{target} seed {seed}"
        + (f" ({times} times)" if times > 1 else "")
        + (" (at chance still)" if (arm, target, seed) in weak else "")
        for (arm, target, seed), times in begun.items()
    )
    yield (
        f"{len(begun)} of {len(tuned)} fine-tunings were begun anew with another seed after a collapse on the dev set of the "
        f"language they learn in (declared: at most {most} {'retry' if most == 1 else 'retries'} each)"
        + (f": {named}." if named else ".")
    )
    if payload["unjudged"]:
        yield f"A collapse cannot be told there, so nothing is begun anew, for {', '.join(payload['unjudged'])}."
