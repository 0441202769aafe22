"""A hub in the same process, for what happens in the data folder: no network, no parquet, one row after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xstilts.hub import fetch, landing
from xstilts.hub.declared import Copy
from xstilts.hub.needs import Need
from xstilts.hub.writing import Row

LABELS = ("entailment", "neutral", "contradiction")
BITEXT = [Need("tatoeba", "test", "de")]
MNLI = [Need("mnli", "train", "en")]
FILE = "multinli_1.0/multinli_1.0_train.jsonl"


class SmallHub:
    """Every dataset at one commit; its rows name the commit.

    Args:
        sha: the commit that every branch names.
    """

    def __init__(self, sha: str = "a") -> None:
        self.sha = sha
        self.asked: list[str] = []

    def say(self, text: str) -> None:
        """Nobody listens."""

    def commit(self, kind: str, identity: str, revision: str) -> str:
        """As ``Hub.commit``."""
        self.asked.append(identity)
        return self.sha * 40

    def licence(self, dataset: str, revision: str) -> str:
        """As ``Hub.licence``."""
        return "mit"

    def rows(self, copy: Copy, revision: str) -> Iterator[Row]:
        """Six rows that every declared column can be read from."""
        self.asked.append(copy.address)
        for k in range(6):
            texts = {c: f"{c} {k} of {revision[0]}" for c in copy.columns}
            yield texts | {"label": LABELS[k % 3], "gold_label": LABELS[k % 3], "language": "en"}


def bring(data: Path, hub: Any, needs: list[Need], *, update: bool = False) -> fetch.Fetched:
    """What ``fetch`` does with rows."""
    fetcher = fetch._Fetcher(data, hub, landing.tidy(data), update)
    fetcher.rows(needs)
    return fetcher.done
