"""The sentences of the impact page: what was found, how it was measured, and what would have to hold at 13B."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from xstilts.report.grid import number, plural
from xstilts.report.impact.answers import Answers, Impact
from xstilts.report.impact.iso import ABOVE
from xstilts.report.impact.measured import Measured, Run
from xstilts.report.impact.same_graph import BUSY
from xstilts.report.impact.speed import speed

PRECISIONS = {"fp32": "fp32", "bf16": "bf16 (float32 weights under autocast)"}

AT_13B = (
    "Nothing here was measured at 13B. For the same answers to hold there, these would have to hold:",
    "Same graph: an encoder of 13B with intermediate training has the same layers, shapes and precision as one without, so "
    "the same FLOPs and the same bytes. Equal time follows as long as no code depends on the values of the weights.",
    "Memory-bound decoding: a text-to-text model reads all weights for each token it writes. Their number is the same, so "
    "the time of one token is; how many tokens are written may change with training, and is not measured here.",
    "Layers: the share of the time that a lower retrieval layer saves is about the share of layers dropped, at any depth. "
    "Which layer is best, with and without intermediate training, would have to be swept again.",
    "Equal score: the speed-ups are between sizes that were measured. A front with 13B on it needs scores of 13B models.",
)
"""Said, not claimed: fixed text."""


def findings(of: Impact) -> list[str]:
    """At most six sentences, made from the numbers: first which models learned nothing, then the instrument if it failed."""
    sentences = (_random(of), _instrument(of), _same_graph(of), _retrieval(of), _equal_score(of), _languages(of))
    return [sentence for sentence in sentences if sentence]


def _random(of: Impact) -> str:
    models = dict.fromkeys(model for answers in of.answers for model in answers.random)
    if not models:
        return ""
    return f"RANDOM WEIGHTS in {', '.join(models)}: speed and memory are those of the shape, scores there mean nothing."


def _instrument(of: Impact) -> str:
    failed = [c for a in of.answers for c in a.checks if c.problem]
    if not failed:
        return ""
    places = "; ".join(f"{c.measured.title}, {c.model}, {c.metric.replace('_', '-')} ({c.problem})" for c in failed)
    return f"The instrument failed, and the arms' verdicts are void there: {places}."


def _same_graph(of: Impact) -> str:
    found = [r for a in of.answers for r in a.ratios]
    judged = [r for r in found if r.comparison is not None and not r.verdict.startswith(("void", "too few"))]
    if not judged:
        return (
            ""
            if not found
            else f"None of {len(found)} comparisons with the baseline arm on the same graph has a verdict."
        )
    margins = " or ".join(sorted({f"±{100 * (r.measured.margin or 0):g} %" for r in judged}))
    verdicts = Counter(r.verdict for r in judged)
    said = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    said = f"all {verdicts.most_common()[0][0]}" if len(verdicts) == 1 else said
    largest = max(judged, key=lambda r: abs(r.comparison.ratio - 1) if r.comparison else 0.0)
    assert largest.comparison is not None
    rest = len(found) - len(judged)
    without = f"; {rest} more are void or withheld" if rest else ""
    return (
        f"On the same graph, {len(judged)} comparisons of an arm's time with the baseline arm's, margin {margins}, came out: "
        f"{said} (the largest ratio is {largest.comparison.ratio:.3f}, {largest.system.name}){without}."
    )


def _retrieval(of: Impact) -> str:
    reads = [r for a in of.answers for r in a.layers if r.comparison is not None and r.answer in ("yes", "no")]
    if not reads:
        return ""
    better = [r for r in reads if r.answer == "yes" and r.comparison]
    if not better:
        return f"In retrieval none of {len(reads)} systems is faster than its reference at no lower measured score."
    best = min(better, key=lambda r: r.comparison.ratio if r.comparison else 1.0)
    assert best.comparison is not None
    return (
        f"In retrieval {len(better)} of {len(reads)} systems (an arm at a layer) are faster than their reference at no lower "
        f"measured score: the fastest, {best.standing.system.name} at layer {best.standing.system.layer} of "
        f"{best.standing.system.num_layers}, {1 / best.comparison.ratio:.2f} times "
        f"({best.standing.measured.target}, {best.delta:+.1f} points; the scores' own errors are in the table)."
    )


def _equal_score(of: Impact) -> str:
    every = [(a, e) for a in of.answers for e in a.equal["offline"]]
    if not every:
        return ""
    inside = [(a, e) for a, e in every if e.speed_up is not None]
    above = sum(e.words.startswith(ABOVE) for _, e in every)
    outside = (
        f"{above} of {len(every)} arms with intermediate training score above every baseline arm measured with them"
    )
    if not inside:
        return (
            f"There is no speed-up at equal score to tell: {outside}, the others below."
            if above < len(every)
            else (f"There is no speed-up at equal score to tell: {outside}.")
        )
    answers, best = max(inside, key=lambda pair: pair[1].speed_up or 0.0)
    least = (
        ""
        if len(inside) == 1
        else f"from {min(e.speed_up or 0.0 for _, e in inside):.2f} to {best.speed_up:.2f} times: "
    )
    return (
        f"At equal score, the offline speed-up over the front of the baseline arms is {least}{best.words} for "
        f"{best.standing.system.name} on {answers.measured.target}; {outside}."
    )


def _languages(of: Impact) -> str:
    dearest: tuple[float, str] | None = None
    for answers in (a for a in of.answers if a.parallel):
        for standing in answers.references:
            assert standing.speed is not None
            costs = {lang: c.seconds_per_1000 for lang in standing.speed.languages if (c := standing.speed.cost(lang))}
            if answers.source in costs and len(costs) > 1:
                language = max(costs, key=lambda code: costs[code])
                ratio = costs[language] / costs[answers.source]
                said = (
                    f"The dearest language, {answers.language_name(language)}, costs {ratio:.2f} times "
                    f"{answers.language_name(answers.source)} ({answers.measured.target}, {standing.system.name})."
                )
                dearest = max(dearest or (0.0, ""), (ratio, said))
    return dearest[1] if dearest else ""


def how_measured(of: Impact) -> list[str]:
    """Device, load, scenarios and busy runs, one line each; equal lines once."""
    lines = [line for answers in of.answers for line in _how(answers)]
    notes = [note for answers in of.answers for note in answers.notes]
    return [*dict.fromkeys([*lines, *notes]), *(f"Planned and not measured yet: {what}." for what in of.unfinished)]


def _how(of: Answers) -> Iterator[str]:
    measured, device = of.measured, of.measured.device
    versions = ", ".join(f"{name} {version}" for name, version in device["versions"].items())
    yield (
        f"Device: {device['name']} ({device['kind']}, {device['cores']} cores), {plural(device['threads'], 'thread')}, "
        f"{PRECISIONS.get(device['precision'], device['precision'])}; {versions}."
    )
    if measured.matrix_peak:
        peaks = " and ".join(number(rate / 1e9) for rate in measured.matrix_peak)
        yield f"{measured.title}: one large matrix product ran at {peaks} GFLOP/s, taken as the device's peak."
    margin = (
        "no margin (costs only)" if measured.margin is None else f"margin ±{100 * measured.margin:g} %, fixed before"
    )
    yield (
        f"{measured.title}: {measured.rows} rows a language in {plural(len(measured.languages), 'language')} "
        f"({' '.join(measured.languages)}), {plural(measured.blocks, 'block')} there and back, "
        f"{len(measured.runs)} fresh processes, {margin}."
    )
    yield f"{measured.title}: {_scenarios(measured)}{measured.note and f'; {measured.note}'}."
    yield _startup(measured)
    if busy := _busy(measured.runs):
        yield f"{measured.title}: {busy}"
    seeds = sorted({s.system.seed for s in of.standings if s.system.seed is not None})
    if len(seeds) == 1:
        yield f"One seed ({seeds[0]}): differences of score between arms are not evidence by themselves."


def _scenarios(measured: Measured) -> str:
    asked = [(name.replace("_", "-"), of) for name, of in measured.scenarios.items() if of]
    return "; ".join(f"{name} ({', '.join(f'{k} {v:g}' for k, v in of.items())})" for name, of in asked)


def _startup(measured: Measured) -> str:
    reference = next((s for s in measured.arms if s.of is None), measured.arms[0])
    parts = ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {number(seconds)} s"
        for name, seconds in speed(measured, reference).startup.items()
    )
    return f"{measured.title}: start of {reference.name}, medians, in no other number: {parts}."


def _busy(runs: Sequence[Run]) -> str:
    shares = [share for run in runs if (share := run.other_cpu_share) is not None and share > BUSY]
    if not shares:
        return ""
    return (
        f"in {len(shares)} of {len(runs)} runs other processes took more than {100 * BUSY:.0f} % of the processor "
        f"(at most {100 * max(shares):.0f} %)."
    )
