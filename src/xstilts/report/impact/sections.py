"""The tables of the impact page: one function a question, from typed answers to text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xstilts.report.grid import NOTHING, Grid, milliseconds, number, percent, without_empty
from xstilts.report.impact.answers import Answers
from xstilts.report.impact.gate import Standing
from xstilts.report.impact.iso import COSTS
from xstilts.report.impact.speed import METRICS, speed
from xstilts.statistics.equivalence import Comparison

Heading = str
_SHORT = {"offline": "time", "single_stream": "latency", "memory": "memory"}


def sections(answers: Sequence[Answers]) -> Iterator[tuple[Heading, list[Grid]]]:
    """The questions in order, each with its tables; those that no measurement speaks to are left out."""
    for heading, make in (
        ("The same graph: ratio of time to the baseline arm", same_graph),
        ("Retrieval: the layer that is read", retrieval),
        ("Work that depends on the data", work),
        ("Score against cost", iso_quality),
        ("Load and cost per language", languages),
        ("Server", server),
        ("Training cost beside the gain", training),
    ):
        grids = [grid for each in answers for grid in make(each)]
        if grids:
            yield heading, grids


def same_graph(of: Answers) -> Iterator[Grid]:
    """(a) The instrument first, then each arm, by each time that was compared."""
    measured = of.measured
    if measured.margin is None:
        return
    rows = []
    for check in of.checks:
        rows.append(
            (f"{check.model}: control", METRICS[check.metric], *_ratio(check.control), _instrument(check.problem))
        )
        label = f"{check.model}: sabotaged +{100 * measured.slowdown:g} %"
        rows.append((label, METRICS[check.metric], *_ratio(check.sabotaged), _instrument(check.problem)))
    for ratio in of.ratios:
        rows.append((ratio.system.name, METRICS[ratio.metric], *_ratio(ratio.comparison), ratio.verdict))
    yield Grid(
        f"{measured.title}: margin ±{100 * measured.margin:g} %, {measured.blocks} blocks",
        ("system", "compared by", "ratio", "90 % interval", "p (TOST)", "verdict"),
        tuple(rows),
        (
            "Ratio of time to the baseline arm: above 1 is slower. Equivalent: the 90 % interval lies inside the margin.",
            *_multiplicity(len([r for r in of.ratios if r.comparison is not None])),
        ),
        frozenset({"compared by", "verdict"}),
    )


def _multiplicity(comparisons: int) -> Iterator[str]:
    """Equivalence needs no correction (each claim is tested by itself); a difference found among many does."""
    if comparisons > 1:
        yield (
            f"{comparisons} arms' comparisons at the 5 % level each: about {0.05 * comparisons:.2g} of them would be called "
            "slower or faster if none were."
        )


def _instrument(problem: str) -> str:
    return f"the instrument failed: {problem}" if problem else "as it must"


def _ratio(of: Comparison | None) -> tuple[str, str, str]:
    if of is None:
        return NOTHING, NOTHING, NOTHING
    p = NOTHING if of.p_equivalence is None else "< 0.0001" if of.p_equivalence < 1e-4 else f"{of.p_equivalence:.4f}"
    return f"{of.ratio:.4f}", f"{of.low_90:.4f} to {of.high_90:.4f}", p


def retrieval(of: Answers) -> Iterator[Grid]:
    """(c) The layer each arm reads, its score, and its speed against the reference."""
    if not of.layers:
        return
    rows = []
    for read in of.layers:
        system, score, compared = read.standing.system, read.standing.score, read.comparison
        faster = NOTHING
        if compared is not None:
            faster = f"{1 / compared.ratio:.2f} ({1 / compared.high_90:.2f} to {1 / compared.low_90:.2f})"
        rows.append(
            (
                system.name,
                f"{system.layer} of {system.num_layers}",
                NOTHING if score is None else score.text,
                NOTHING if read.delta is None else f"{read.delta:+.1f}",
                faster,
                read.answer,
                read.rule,
            )
        )
    yield Grid(
        of.measured.title,
        (
            "system",
            "layer",
            "score",
            "delta",
            "times as fast",
            "faster at no lower score",
            "how the layer is chosen",
        ),
        tuple(rows),
        (
            "Layers above the one read are not run. Times as fast: offline throughput over the reference's, 90 % interval.",
            "Scores: mean over languages ± the standard error of their rows, given this seed; languages share rows, so it "
            "is an upper bound. `no lower score` compares the measured scores alone.",
            *(
                ("bucc2018: layer and thresholds were chosen on the dev pairs that are scored.",)
                if of.on_same_dev
                else ()
            ),
        ),
        frozenset({"faster at no lower score", "how the layer is chosen"}),
    )


def work(of: Answers) -> Iterator[Grid]:
    """(d) Windows, mined pairs and thresholds, and where offline time goes."""
    rows = []
    for standing in of.shown:
        assert standing.speed is not None
        counted = of.works[standing.system.name]
        thresholds = ", ".join(f"{code} {value:.4f}" for code, value in counted.thresholds.items())
        rows.append(
            (
                standing.system.name,
                number(counted.windows_per_example, 4),
                str(counted.dropped_tokens),
                NOTHING if counted.candidates is None else f"{counted.candidates:,}",
                NOTHING if counted.kept is None else f"{counted.kept:,}",
                thresholds or NOTHING,
                percent(standing.speed.share("encode_s")),
                percent(standing.speed.share("decode_s")),
            )
        )
    if rows:
        columns = (
            "windows per row",
            "dropped tokens",
            "candidates",
            "kept pairs",
            "thresholds",
            "encoding",
            "decoding",
        )
        note = "Counts are of all scored rows; encoding and decoding are shares of the measured offline time."
        grid = Grid(of.measured.title, ("system", *columns), tuple(rows), (note,), frozenset({"thresholds"}))
        yield without_empty(grid)


def iso_quality(of: Answers) -> Iterator[Grid]:
    """(e) Score beside cost for every model and arm; then the speed-up at equal score. What is withheld says why."""
    rows, reasons = [], []
    for standing in of.standings:
        if standing.speed is None or standing.score is None:
            reasons.append(f"{standing.system.name} is withheld: {standing.withheld}.")
            continue
        rows.append((standing.system.name, *_score_and_cost(of, standing)))
    yield Grid(
        of.measured.title,
        ("system", "score", "rows", "s per 1,000", "p50 ms", "p90 ms", "memory GiB", "peak share", "on the front of"),
        tuple(rows),
        (
            *reasons,
            "Score ± its standard error: sqrt(p (1 - p) / n) of its rows, given this seed.",
            "p90 by MLPerf's early-stopping rule over the queries of all runs. Peak share: matrix products against the best "
            "rate of one large product on this device.",
            "Fronts are apart for arms with and without intermediate training: nothing of its kind is as good and cheaper.",
        ),
        frozenset({"on the front of"}),
    )
    equal = {name: {e.standing.system.name: e for e in found} for name, found in of.equal.items()}
    systems = [s.system.name for s in of.arms(True)]
    if systems and of.arms(False):
        yield Grid(
            f"{of.measured.title}: how much less the same score costs than without intermediate training",
            ("system", *COSTS.values()),
            tuple((name, *(equal[c][name].words if name in equal[c] else NOTHING for c in COSTS)) for name in systems),
            (
                "Cost of the system's score on the baseline arms' front over its own cost: between measured systems, never "
                "beyond them.",
                "95 % intervals over blocks and rows; 0.00 where all baseline arms may score more, no limit where none may."
                if of.measured.blocks > 1
                else "95 % intervals over rows alone: there is one block, so its times are taken as they are.",
            ),
            frozenset(COSTS.values()),
        )


def _score_and_cost(of: Answers, standing: Standing) -> tuple[str, ...]:
    speed, score = standing.speed, standing.score
    assert speed is not None and score is not None
    p90 = speed.p90
    slow = NOTHING if p90 is None else milliseconds(p90.estimate)
    if p90 is not None and p90.estimate is None:
        slow = f"{p90.queries} of {p90.needed} queries"
    fronts = [label for name, label in _SHORT.items() if standing in of.fronts[name]]
    return (
        score.text,
        f"{score.count:,}",
        number(speed.seconds_per_1000),
        milliseconds(speed.p50),
        slow,
        number(speed.memory_gib),
        percent(speed.peak_share),
        ", ".join(fronts) or NOTHING,
    )


def languages(of: Answers) -> Iterator[Grid]:
    """The price of each language, for every model's baseline arm: one table a model."""
    other_texts = (
        () if of.parallel else ("Each language has texts of its own: their length counts beside the language.",)
    )
    for standing in of.references:
        assert standing.speed is not None
        costs = [c for language in of.measured.languages if (c := standing.speed.cost(language))]
        source = next((c.seconds_per_1000 for c in costs if c.language == of.source and of.parallel), None)
        rows = [
            (
                of.language_name(c.language),
                number(c.sequences_per_second),
                number(c.tokens_per_second),
                f"{c.tokens_per_example:.1f}",
                number(c.seconds_per_1000),
                NOTHING if source is None else f"{c.seconds_per_1000 / source:.2f}",
            )
            for c in sorted(costs, key=lambda c: -c.seconds_per_1000)
        ]
        if rows:
            yield Grid(
                f"{of.measured.title}: {standing.system.name}",
                ("language", "sequences/s", "tokens/s", "tokens per row", "s per 1,000", f"times {of.source}"),
                tuple(rows),
                (f"Offline, from text to answers; dearest first. {standing.system.execution}.", *other_texts),
            )


def server(of: Answers) -> Iterator[Grid]:
    """The largest Poisson rate within the limit, where that was asked for."""
    rows = []
    for standing in of.shown:
        found = speed(of.measured, standing.system)
        asked = [run.server for run in found.runs if run.server]
        if asked:
            rates = sorted(found.largest_rates)
            shown = f"{number(rates[0])} to {number(rates[-1])}" if rates else "none valid"
            limit = milliseconds(asked[0]["limit_s"])
            rows.append((standing.system.name, limit, shown, f"{len(rates)} of {len(asked)}"))
    if rows:
        columns = ("system", "p99 limit ms", "largest rate, queries/s", "valid runs")
        yield Grid(of.measured.title, columns, tuple(rows), ("Latency counts from the scheduled arrival.",))


def training(of: Answers) -> Iterator[Grid]:
    """What each arm's training cost, beside what it gained."""
    rows = []
    for standing in of.standings:
        if standing.score is None:
            continue
        cost, delta = of.trainings[standing.system.name], of.delta(standing)
        rows.append(
            (
                standing.system.name,
                standing.score.text,
                NOTHING if delta is None else f"{delta:+.1f}",
                number(cost.intermediate_seconds),
                f"{cost.intermediate_tokens:,}",
                number(cost.target_seconds),
                f"{cost.target_tokens:,}",
            )
        )
    if rows:
        threads = sorted({n for t in of.trainings.values() for n in t.threads})
        note = f" Trained with {' or '.join(map(str, threads))} CPU threads." if threads else ""
        yield Grid(
            of.measured.title,
            ("system", "score", "delta", "intermediate s", "its tokens", "fine-tuning s", "tokens"),
            tuple(rows),
            (f"Seconds of one device, tokens of all steps; pre-training is shared by all arms and not in it.{note}",),
        )
