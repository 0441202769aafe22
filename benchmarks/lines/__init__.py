"""The lines of the suite. Each module's ``races(setting)`` says who does which work, and when answers agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.lines import answer, classify, embed, layers, masked_lm, packing, search, tag, train
from benchmarks.race import Race
from benchmarks.setting import Setting

LINES: Mapping[str, Callable[[Setting], Iterator[Race]]] = {
    "classify": classify.races,
    "embed": embed.races,
    "tag": tag.races,
    "answer": answer.races,
    "train": train.races,
    "masked-lm": masked_lm.races,
    "packing": packing.races,
    "layers": layers.races,
    "search": search.races,
}
