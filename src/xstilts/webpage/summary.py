"""Five sentences about a study, made from its numbers: what was run, what helped, what is lost, and what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xstilts.report.comparison.cells import Cell, Comparison
from xstilts.report.comparison.scores import BEST
from xstilts.report.comparison.tables import CORRECTIONS
from xstilts.report.grid import plural
from xstilts.report.impact.answers import Impact
from xstilts.report.impact.words import findings
from xstilts.report.retrieval_layers import Layers
from xstilts.webpage.scores import difference


def summary(
    payload: Mapping[str, Any],
    states: Mapping[str, int],
    compared: Sequence[Comparison],
    layers: Sequence[Layers],
    measured: Impact | None,
) -> tuple[str, ...]:
    """At most five sentences.

    Args:
        payload: what the store records of the study.
        states: how many of its nodes are in which state.
        compared: its arms on the split that is shown first; empty without scores.
        layers: its retrieval by layer.
        measured: what its measurements say.
    """
    said = [_what(payload, states)]
    if compared:
        said += [_effect(compared[0]), _gap(compared[0])]
        said += findings(measured)[:1] if measured is not None else _layers(layers)
        said.append(_caution(payload["study"], compared))
    return tuple(sentence for sentence in said if sentence)


def _what(payload: Mapping[str, Any], states: Mapping[str, int]) -> str:
    study = payload["study"]
    done, every = states.get("done", 0), sum(states.values())
    state = (
        "all of it is finished"
        if done == every
        else f"{done:,} of {plural(every, 'node')} are finished, so this is not final"
    )
    languages = {
        code for node in payload["nodes"] if node["kind"] == "score" for code in node["spec"].get("languages", ())
    }
    spoken = f" in {plural(len(languages), 'language')}" if languages else ""
    return (
        f"{study.get('title') or study['name']}: {plural(len(study['arms']), 'arm')} on {' and '.join(study['models'])}, "
        f"scored on {', '.join(study['targets'])}{spoken} with {plural(len(study['seeds']), 'seed')}; {state}."
    )


def _effect(of: Comparison) -> str:
    """The arm that is furthest ahead on average, and what the declared tests decide."""
    correction = CORRECTIONS[of.declared.correction]
    average = next((c for c in of.columns if c.kind == "average"), None) or next(
        c for c in of.columns if c.kind == "target"
    )
    arms = [arm for arm in of.arms if arm != BEST and of.cells[arm, average].delta is not None]
    base = of.cells[of.baseline, average].mean
    if base is not None and not of.arms:
        return f"On {of.split} the baseline arm scores {base:.1f} over {', '.join(average.targets)}; no other arm has scores."
    if not arms or base is None:
        return f"No arm can be compared with {of.baseline} on {of.split} yet."
    best = max((of.cells[arm, average] for arm in arms), key=_delta)
    verdicts = Counter(cell.verdict for cell in of.cells.values() if cell.verdict is not None)
    up, down = verdicts["better"], verdicts["worse"]
    if not of.tests:
        decided = "with one seed nothing is tested"
    elif up or down:
        decided = f"of {plural(of.tests, 'test')} ({correction}) {up} are decided for an arm and {down} against one"
    else:
        decided = f"of {plural(of.tests, 'test')} ({correction}) none is decided"
    direction = "the largest gain" if _delta(best) > 0 else "no arm gains; the smallest loss"
    looked = f": one of {len(arms)} differences looked at, its interval not corrected for that" if len(arms) > 1 else ""
    return (
        f"Over the mean of {', '.join(average.targets)} on {of.split} the baseline arm scores {base:.1f} and {direction} is "
        f"{difference(best)} points, {best.arm}{looked}; {decided}."
    )


def _delta(cell: Cell) -> float:
    return cell.delta.mean if cell.delta else 0.0


def _gap(of: Comparison) -> str:
    column = next((c for c in of.columns if c.kind == "gap" and c.group == "all"), None)
    base = None if column is None else of.cells[of.baseline, column].mean
    if column is None or base is None:
        return ""
    cells = [c for arm in of.arms if arm != BEST and (c := of.cells[arm, column]).delta is not None]
    text = f"Away from its source language the baseline arm loses {base:.1f} points on {', '.join(column.targets)}"
    if not cells:
        return f"{text}."
    least = min(cells, key=_delta)
    change = "narrows that most" if _delta(least) < 0 else "widens that least"
    return f"{text}; {least.arm} {change} ({difference(least)})."


def _layers(found: Sequence[Layers]) -> Iterator[str]:
    for of in found:
        best = {arm: readings["best"] for arm, readings in of.readings.items() if "best" in readings}
        if len(best) > 1:
            arm = max(best, key=lambda name: best[name].score)
            places = Counter(place for reading in best.values() for place in reading.places)
            most, times = places.most_common(1)[0]
            layer, _, pooling = most.partition(" ")
            yield (
                f"In retrieval ({of.target} {of.split}) layer {layer} ({pooling}) is the best for {times} of {len(best)} "
                f"arms, and the highest score at any layer is {best[arm].score:.1f} ({arm}, chosen on {of.split} itself)."
            )
            return


def _caution(study: Mapping[str, Any], compared: Sequence[Comparison]) -> str:
    cells = [c for of in compared for c in of.cells.values() if c.column.kind == "target" and c.arm != BEST]
    weak, scores = sum(c.weak for c in cells), sum(c.scores for c in cells)
    said = [f"{weak} of {plural(scores, 'score')} {'is' if weak == 1 else 'are'} at chance"]
    seeds = len(study["seeds"])
    if seeds == 1:
        said.append("with one seed differences between arms are not evidence by themselves")
    elif seeds < 5:
        said.append(
            f"intervals over {seeds} seeds are wide, and an arm that is not decided is not shown to be without effect"
        )
    limit = study.get("limits", {}).get("evaluation_rows")
    if limit:
        said.append(f"at most {limit} rows a language were scored")
    if any(of.to_come for of in compared):
        said.append("tests that lack scores count as undecided")
    return f"Read with care: {'; '.join(said)}."
