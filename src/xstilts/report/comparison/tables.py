"""The comparison as tables of text: targets x arms, gaps by group, languages x arms for one target, and the notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xstilts.errors import MissingNameError
from xstilts.languages import LANGUAGES
from xstilts.report.comparison.cells import Cell, Comparison
from xstilts.report.comparison.columns import Column
from xstilts.report.comparison.scores import BEST
from xstilts.report.grid import NOTHING, Grid, plural

MARKS = {"better": " ▲", "worse": " ▼", "undecided": "", None: ""}
CORRECTIONS = {
    "holm": "Holm's correction",
    "benjamini_hochberg": "Benjamini and Hochberg's correction",
    "none": "not corrected",
}
GIVEN = "  given these seeds"


def comparison_grids(found: Sequence[Comparison], target: str | None = None) -> list[Grid]:
    """The tables of each model: targets and averages; transfer gaps; with ``target`` its languages in the second's place.

    Raises:
        MissingNameError: there is no such target in the comparison.
    """
    names = {column.name for of in found for column in of.columns if column.kind == "target"}
    if target is not None and found and target not in names:
        raise MissingNameError("target", target, sorted(names), where="--target")
    grids = []
    for of in found:
        grids.append(_main_grid(of))
        if target is not None:
            by_language = [c for c in of.columns if c.kind == "language" and c.targets == (target,)]
            title = f"{of.model}, {of.split}, {target} by language: difference to {of.baseline!r}"
            if by_language:
                rows = [row for column in by_language for row in _rows(of, column, _language(column.name))]
                grids.append(Grid(title, ("language", *_arms(of)), tuple(rows), tuple(_mark_notes(of)), _words(of)))
        elif gaps := [c for c in of.columns if c.kind == "gap" and c.group != "all"]:
            title = f"{of.model}, {of.split}: transfer gap by group of languages"
            rows = [row for c in gaps for row in _rows(of, c, f"{c.group} {c.name}")]
            grids.append(Grid(title, ("languages", *_arms(of)), tuple(rows), tuple(_gap_notes(gaps)), _words(of)))
    return grids


def _main_grid(of: Comparison) -> Grid:
    columns = [c for c in of.columns if c.kind in ("target", "average") or (c.kind == "gap" and c.group == "all")]
    rows = [row for column in columns for row in _rows(of, column, column.name)]
    rows.append(("scores at chance", *(_collapsed(of, arm) for arm in (of.baseline, *of.arms))))
    title = f"{of.model}, {of.split}: difference to {of.baseline!r}, in points"
    return Grid(title, ("target", *_arms(of)), tuple(rows), tuple(notes(of)), _words(of))


def _arms(of: Comparison) -> tuple[str, ...]:
    """The columns: the baseline arm, then the others; one with another baseline says so."""
    other = {arm: f"{arm} (against {base})" for arm, base in of.against.items() if base != of.baseline}
    return (of.baseline, *(other.get(arm, arm) for arm in of.arms))


def _words(of: Comparison) -> frozenset[str]:
    return frozenset(_arms(of))


def _rows(of: Comparison, column: Column, name: str) -> Iterator[tuple[str, ...]]:
    """One line of differences with t-intervals, and below it the example bootstrap's intervals where there are any."""
    yield name, _mean(of.cells[of.baseline, column]), *(_difference(of, arm, column) for arm in of.arms)
    cells = [of.cells[arm, column] for arm in of.arms]
    if any(cell.rows for cell in cells):
        yield GIVEN, "", *(NOTHING if cell.rows is None else _interval(*cell.rows) for cell in cells)


def _mean(cell: Cell) -> str:
    """``71.0±1.4!``: the arm that the others are compared with."""
    if cell.mean is None:
        return NOTHING
    return f"{cell.mean:.1f}" + ("" if cell.spread is None else f"±{cell.spread:.1f}") + ("!" if cell.weak else "")


def _difference(of: Comparison, arm: str, column: Column) -> str:
    """``+2.1 [+0.3, +3.9] ▲``."""
    cell = of.cells[arm, column]
    if cell.delta is None:
        return NOTHING
    delta = cell.delta
    text = f"{delta.mean:+.1f}"
    if delta.low is not None and delta.high is not None:
        text += f" {_interval(delta.low, delta.high)}"
    elif delta.pairs > 1:
        text += " (equal)"
    if cell.paired < len(of.seeds):
        text += f" {cell.paired}/{len(of.seeds)} seeds"
    text += ("!" if cell.weak else "") + MARKS[cell.verdict] + _languages_decided(of, arm, column)
    if arm == BEST and column.kind == "target":
        choice = of.chosen[column.name]
        text = f"{choice.arm}{'°' if choice.split == of.split else ''} {text}"
    return text


def _interval(low: float, high: float) -> str:
    return f"[{low:+.1f}, {high:+.1f}]"


def _languages_decided(of: Comparison, arm: str, column: Column) -> str:
    """`` ▲3 ▼1 of 15``: where each language is tested, a target says how many are decided."""
    if of.declared.family != "languages" or column.kind != "target" or arm == BEST:
        return ""
    cells = [of.cells[arm, c] for c in of.columns if c.kind == "language" and c.targets == column.targets]
    verdicts = [cell.verdict for cell in cells if cell.verdict is not None]
    return f" ▲{verdicts.count('better')} ▼{verdicts.count('worse')} of {len(verdicts)}" if verdicts else ""


def _collapsed(of: Comparison, arm: str) -> str:
    """``3 of 24, 1 constant``: of the arm's scores, by target, language and seed."""
    cells = [of.cells[arm, column] for column in of.columns if column.kind == "target"]
    weak, scores = sum(cell.weak for cell in cells), sum(cell.scores for cell in cells)
    constant = sum(cell.constant for cell in cells)
    return f"{weak} of {scores}" + (f", {constant} constant" if constant else "")


def _language(code: str) -> str:
    return f"{code} {LANGUAGES[code].name}" if code in LANGUAGES else code


def notes(of: Comparison) -> Iterator[str]:
    """What the numbers are, what was declared, and what they do not say."""
    yield from of.remarks
    share, seeds = f"{100 * (1 - of.level):g} %", ", ".join(map(str, of.seeds))
    yield (
        f"Column {of.baseline!r}: mean ± standard deviation over seeds ({seeds}). The others: mean difference to it over the "
        f"seeds that both have, paired by seed, with its {share} t-interval over seeds."
    )
    yield from evidence_notes(of, GIVEN.strip())


def evidence_notes(of: Comparison, given: str | None) -> Iterator[str]:
    """The same without how the table is laid out; ``given`` is what its intervals over rows are called, if it shows any."""
    share = f"{100 * (1 - of.level):g} %"
    if of.asked_level is not None:
        yield f"The level {of.asked_level:g} was asked for; the study declares {of.declared.level:g}."
    if len(of.seeds) == 1:
        yield "One seed: no interval and no test; differences between arms are not evidence by themselves."
    yield from _mark_notes(of)
    if of.rounds and given is not None:
        yield (
            f"{given}: {share} example bootstrap, {plural(of.rounds, 'draw')} of the evaluation rows, the same "
            "for both arms and all seeds. It covers which rows are in the test set. It does not cover other seeds, other "
            "training rows or other languages, and it takes rows (questions of one paragraph too) as independent."
        )
    yield from (f"No example bootstrap for {reason}." for reason in of.without_rows)
    yield from of.retries
    if BEST in of.arms:
        yield f"{BEST}: each target's score from the arm that has the best mean on dev. Not tested."
        if circular := [target for target, choice in of.chosen.items() if choice.split == of.split]:
            yield (
                f"° chosen on {of.split} itself, so its score there is too good: {', '.join(circular)}. "
                "XQuAD, TyDiQA and Tatoeba have no dev set of their own."
            )


def _mark_notes(of: Comparison) -> Iterator[str]:
    declared = of.declared
    tested = "every arm on every target" + (" in every language" if declared.family == "languages" else "")
    yield (
        f"▲ better, ▼ worse: p of the paired t-test below {of.level:g}, {CORRECTIONS[declared.correction]}, "
        f"{plural(of.tests, 'test')}: {tested}, all models. Intervals are of one difference alone and not corrected; "
        "averages and gaps are not tested."
    )
    if of.to_come:
        yield (
            f"{plural(of.to_come, 'test')} of these lack scores yet and count as p = 1: what is decided now is not undone by "
            "the correction later; new seeds of its own cells can still change it."
        )
    cells = list(of.cells.values())
    if any(cell.weak for cell in cells):
        yield "! some score behind it is at chance, or from a model that gives one constant answer; it is counted as it is."
    if any(cell.delta and cell.delta.pairs > 1 and cell.delta.low is None for cell in cells):
        yield "(equal): the same difference with every seed. That has no t-test, and with few rows it comes by chance."


def _gap_notes(gaps: Sequence[Column]) -> Iterator[str]:
    yield (
        "The source language's score minus the mean of the others in the group, over the targets that have both; "
        "a negative difference is a smaller gap. Not tested."
    )
    if any(column.group == "size" for column in gaps):
        yield "size: Wikipedia articles, recalled from XTREME's appendix, not read there."
