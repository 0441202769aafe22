"""Chunk F1 by the rule of seqeval 0.0.12, which XTREME's expected numbers follow (FACTS 2.3).

One rule serves both tagging tasks. It was made for BIO tags, and XTREME applies it to bare part-of-speech tags too:

* a tag's *mark* is its first character, its *type* the part after the last hyphen (the whole tag if there is none);
* a run of neighbours of one type is one chunk: ``NOUN NOUN`` is a single two-token chunk;
* the marks ``B``, ``I``, ``E``, ``S`` and ``O`` mean what they mean in BIOES, even in bare tags. So ``SCONJ`` and ``SYM``
  are always chunks of one token, and a tag that starts with ``O`` or a full stop never opens a chunk;
* a chunk is right only if its type, first and last token are all right.

seqeval 1.2.2 cuts the first character off a bare tag, so it cannot tell ``SCONJ`` from ``CCONJ``; it gives other numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from xstilts.errors import GoldError, PredictionError, XstiltsError
from xstilts.metrics.additive import Additive, Contributions
from xstilts.metrics.checks import check_rows
from xstilts.metrics.pairs import f1_precision_recall

Tags = Sequence[str]
Chunk = tuple[str, int, int]

_NOTHING_BEFORE = ("O", "")


def chunks(sentences: Sequence[Tags]) -> set[Chunk]:
    """The chunks of all sentences as (type, first position, last position).

    Positions count the tags of all sentences, with one empty place after each sentence, so no chunk crosses a boundary.
    """
    flat = [_mark_and_type(tag) for sentence in sentences for tag in (*sentence, "O")]
    found: set[Chunk] = set()
    before, first = _NOTHING_BEFORE, 0
    for position, here in enumerate(flat):
        if _closes(before, here):
            found.add((before[1], first, position - 1))
        if _opens(before, here):
            first = position
        before = here
    return found


def _mark_and_type(tag: str) -> tuple[str, str]:
    return tag[0], tag.rsplit("-", 1)[-1]


def _closes(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """Whether a chunk that holds the tag before ends there."""
    if before[0] in "ES":
        return True
    if before[0] in "BI" and here[0] in "BSO":
        return True
    return before[0] not in "O." and before[1] != here[1]


def _opens(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """Whether a chunk begins here."""
    if here[0] in "BS":
        return True
    if here[0] in "EI" and before[0] in "ESO":
        return True
    return here[0] not in "O." and before[1] != here[1]


def _tagged(golds: Sequence[Tags], predictions: Sequence[Tags], language: str) -> Contributions:
    """For each sentence its right, predicted and gold chunks, its tags and the right ones among them."""
    check_rows(golds, predictions)
    for row, (gold, prediction) in enumerate(zip(golds, predictions, strict=True)):
        _check_tags(gold, row, GoldError)
        _check_tags(prediction, row, PredictionError)
        if len(gold) != len(prediction):
            raise PredictionError(f"sentence {row} has {len(prediction)} predicted tags, its gold has {len(gold)}")
    if not any(golds):
        raise GoldError("there is no gold tag in any sentence")
    wanted, found = chunks(golds), chunks(predictions)
    starts = list(accumulate((len(tags) + 1 for tags in golds), initial=0))[:-1]  # as ``chunks`` counts positions
    columns = {
        "right": _by_sentence(wanted & found, starts),
        "predicted": _by_sentence(found, starts),
        "gold": _by_sentence(wanted, starts),
        "tags": [float(len(tags)) for tags in golds],
        "right_tags": [
            float(sum(g == p for g, p in zip(gold, prediction, strict=True)))
            for gold, prediction in zip(golds, predictions, strict=True)
        ],
    }
    return Contributions(columns)


def _by_sentence(found: Iterable[Chunk], starts: Sequence[int]) -> list[float]:
    """How many of the chunks are in each sentence; no chunk is in two."""
    counts = Counter(bisect_right(starts, first) - 1 for _, first, _ in found)
    return [float(counts[sentence]) for sentence in range(len(starts))]


def _tagging_scores(sums: Mapping[str, Any]) -> dict[str, Any]:
    scores = f1_precision_recall(sums["right"], sums["predicted"], sums["gold"])
    return {**scores, "token_accuracy": sums["right_tags"] / (sums["tags"] + (sums["tags"] == 0)) * 100}


pos_metric = Additive(_tagged, _tagging_scores, "sentence")
"""Chunk ``f1``, ``precision`` and ``recall`` on bare tags, and ``token_accuracy``, 0..100.

XTREME calls the first one accuracy; it is not. A row is a sentence. The language plays no part.

Raises:
    GoldError: gold is missing or holds an empty tag.
    PredictionError: the numbers of sentences, or of tags in a sentence, differ; or a tag is empty.
"""

ner_metric = pos_metric
"""Entity ``f1``, ``precision`` and ``recall``, micro over all entities, and ``token_accuracy``, 0..100.

Tags are BIO strings (``B-PER``, ``I-PER``, ``O``). An ``I-`` without a ``B-`` before it opens an entity. Errors as
``pos_metric``.
"""


def _check_tags(tags: Tags, row: int, error: type[XstiltsError]) -> None:
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag for tag in tags):
        raise error(f"sentence {row} is {tags!r}: a sentence is a sequence of tags that are not empty")
