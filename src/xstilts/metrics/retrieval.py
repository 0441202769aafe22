"""Bitext retrieval: mined pairs (BUCC 2018) and nearest neighbours (Tatoeba), as XTREME's scorer counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any

from xstilts.errors import GoldError, PredictionError, XstiltsError
from xstilts.metrics.additive import Additive, Contributions
from xstilts.metrics.checks import check_gold, check_rows
from xstilts.metrics.classification import right_rows, share_right
from xstilts.metrics.pairs import f1_precision_recall

Pair = tuple[str, str]


def _mined(golds: Collection[Pair], predictions: Collection[Pair], language: str) -> Contributions:
    """For each foreign sentence of a gold or a mined pair: its right, mined and gold pairs.

    All other sentences of the pool would give zeros: they move no score, and hardly the spread of a ratio of sums.
    """
    check_gold(golds)
    gold, mined = _pairs(golds, GoldError), _pairs(predictions, PredictionError)
    counts = [Counter(foreign for foreign, _ in pairs) for pairs in (gold & mined, mined, gold)]
    units = sorted(counts[1].keys() | counts[2].keys())
    columns = {
        name: [float(of[unit]) for unit in units]
        for name, of in zip(("right", "predicted", "gold"), counts, strict=True)
    }
    return Contributions(columns, units)


def _pair_scores(sums: Mapping[str, Any]) -> dict[str, Any]:
    return f1_precision_recall(sums["right"], sums["predicted"], sums["gold"])


mining_metric = Additive(_mined, _pair_scores, "foreign sentence of a gold or mined pair")
"""``f1``, ``precision`` and ``recall`` of the mined (foreign id, English id) pairs, 0..100.

Both sides are sets: order and repetition play no part, and the numbers of pairs may differ. Nothing mined scores 0.

Raises:
    GoldError: there is no gold pair, or one is ``None`` or no pair.
    PredictionError: a prediction is no pair.
"""


def _pairs(pairs: Collection[Pair], error: type[XstiltsError]) -> set[Pair]:
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2:
            raise error(f"{pair!r} is no pair of a foreign id and an English id")
    return {(foreign, english) for foreign, english in pairs}


def _neighbours(golds: Sequence[int], predictions: Sequence[int], language: str) -> Contributions:
    check_rows(golds, predictions)
    _check_whole(golds, GoldError)
    _check_whole(predictions, PredictionError)
    return right_rows(golds, predictions, language)


nearest_metric = Additive(_neighbours, share_right, "English sentence")
"""``{"accuracy": 0..100}`` of the 0-based line of the foreign sentence found for each English line.

Raises:
    GoldError: gold is missing or no whole number.
    PredictionError: the numbers of rows differ, or a prediction is no whole number.
"""


def _check_whole(values: Sequence[object], error: type[XstiltsError]) -> None:
    for row, value in enumerate(values):
        if not isinstance(value, Integral):
            raise error(f"row {row} is {value!r}: the 0-based number of a line is needed")
