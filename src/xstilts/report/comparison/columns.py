"""What is compared: targets, averages over them, transfer gaps, single languages. Each is a function of scores by target.

The functions are sums and means, so they take drawn scores (arrays) as they take scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from xstilts.languages import LANGUAGES
from xstilts.metrics import xtreme
from xstilts.report.sources import learned, source_of

Kind = Literal["target", "average", "gap", "language"]
ByTarget = Mapping[str, Mapping[str, Any]]
Languages = Mapping[str, Sequence[str]]
"""Target -> the languages it is scored in."""


@dataclass(frozen=True)
class Column:
    """One number of an arm and a seed.

    Args:
        kind: what sort of number.
        name: of a target, an average, a group of languages or a language.
        targets: the targets it is made of.
        value: from target -> language -> score, and the language that the arm is fine-tuned in; ``None`` if something that
            it needs is missing.
        group: of a gap: ``all``, ``family``, ``script`` or ``size``.
    """

    kind: Kind
    name: str
    targets: tuple[str, ...]
    value: Callable[[ByTarget, str], Any] = field(compare=False, repr=False)
    group: str = ""


def columns_of(languages: Languages, study: Mapping[str, Any], groups: Mapping[str, str | None]) -> list[Column]:
    """Every column of a study's targets, in the study's order.

    Args:
        languages: what each target is scored in.
        study: the study as the store recorded it.
        groups: target -> XTREME's group.
    """
    shown = [target for target in study["targets"] if target in languages]
    tuned = [target for target in shown if groups[target] != "retrieval"]
    found = [_mean(target, [target], languages, (), "target") for target in shown]
    found += _averages(shown, tuned, languages, learned(study))
    found += _gaps(tuned, languages, study)
    for target in shown:
        found += [
            Column("language", code, (target,), partial(_of_language, target, code)) for code in languages[target]
        ]
    return found


def _mean(name: str, targets: Sequence[str], languages: Languages, without: Sequence[str], kind: Kind) -> Column:
    """The mean over targets of each one's mean over its languages, ``without`` some."""
    kept = {target: [code for code in languages[target] if code not in without] for target in targets}

    def value(scores: ByTarget, source: str) -> Any:
        return xtreme.mean_of_all({t: xtreme.mean_of_all(scores[t], kept[t]) for t in targets}, targets)

    return Column(kind, name, tuple(targets), value)


def _averages(
    shown: Sequence[str], tuned: Sequence[str], languages: Languages, seen: Sequence[str]
) -> Iterator[Column]:
    """With and without retrieval, with and without the languages that any arm learns in, where these differ."""
    zero_shot = f"no {','.join(seen)}"
    yield _mean("avg", shown, languages, (), "average")
    yield _mean(zero_shot, shown, languages, seen, "average")
    if tuned and len(tuned) < len(shown):
        yield _mean("no retr.", tuned, languages, (), "average")
        yield _mean(f"no retr., {zero_shot}", tuned, languages, seen, "average")


def _gaps(tuned: Sequence[str], languages: Languages, study: Mapping[str, Any]) -> Iterator[Column]:
    """The source's score minus the mean of zero-shot languages, of all and of those in a group, where targets have both."""
    seen, own = learned(study), study.get("own_languages", {})
    sources = {source_of(study, arm) for arm in study["arms"]}
    both = [target for target in tuned if sources <= {*languages[target]}]
    members: dict[tuple[str, str], set[str]] = defaultdict(set)
    for code in sorted({code for target in both for code in languages[target]}.difference(seen)):
        members["all", "gap"].add(code)
        for of in _groups(code, own):
            members[of].add(code)
    for (group, name), codes in sorted(members.items()):
        kept = {target: [code for code in languages[target] if code in codes] for target in both}
        kept = {target: found for target, found in kept.items() if found}
        yield Column("gap", name, tuple(kept), partial(_gap, kept), group)


def _gap(kept: Languages, scores: ByTarget, source: str) -> Any:
    gaps = {target: xtreme.transfer_gap(scores[target], [source, *of], source) for target, of in kept.items()}
    return xtreme.mean_of_all(gaps, list(kept))


def _of_language(target: str, code: str, scores: ByTarget, source: str) -> Any:
    return scores[target].get(code)


def _groups(code: str, own: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Family, script and size of a language, as far as they are known."""
    if code in own:
        yield from ((name, own[code][name]) for name in ("family", "script") if own[code].get(name))
    elif code in LANGUAGES:
        of = LANGUAGES[code]
        yield "family", of.family if of.family != "Isolate" else f"isolate {of.name}"
        yield "script", of.script
        yield "size", of.size
