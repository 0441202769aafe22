"""Which margin, and how many blocks: the analysis of a recorded pool of A-A runs and of runs known to be 5 % slower.

    python -m benchmarks.equivalence_pool POOL --out benchmarks/results/DATE-equivalence [--intro FILE]

The pool is a store in which benchmarks/equivalence.yaml was run, or a file of runs (a .gz too), one fresh process a line, as
a measurement writes its ``runs.jsonl``: a system, its control (A again) and its sabotaged twin (A +5 %) in blocks: three
processes that take turns, or each system twice, there and back. The unit of evidence is the block: one log ratio of a
system's time to A's, from the same pieces of work (``xstilts.statistics.paired``).
Studies are drawn from the pool's blocks. A design counts when A-A is declared equivalent and +5 % is declared slower, by
each metric in at least nine studies of ten. Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from xstilts.errors import DataError
from xstilts.graph.store import Store
from xstilts.statistics.equivalence import compare, interval
from xstilts.statistics.paired import Timed, mean_log_ratio
from xstilts.statistics.percentiles import percentile
from xstilts.statistics.power import design, inside, simulated

Row = dict[str, Any]
STUDY = "equivalence"
REFERENCE, CONTROL, SLOWED = "A", "A control", "A +5 %"
SLOWDOWN = 0.05
METRICS = {"offline": "offline time", "single_stream": "single-stream median latency"}
MARGINS = (0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04)  # all below the slowdown that must be found
COUNTS = (3, 4, 5, 6, 8, 10, 12, 16)  # blocks that a study can afford
SHARE = 0.9


def read(path: Path) -> list[Row]:
    """The runs of a pool; whatever the measured system is called, it is A here.

    Raises:
        DataError: a line is no run; names ``file:line``.
    """
    if path.is_dir():
        store = Store(path)
        (measured,) = store.studies()[STUDY]["measurements"]
        path = store.path(measured["key"]) / "runs.jsonl"
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    runs = []
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        try:
            run = json.loads(line)
            log_times(run), [_timed(run[metric] or {}) for metric in METRICS]
            runs.append({**run, "block": int(run["block"]), "position": int(run["position"])})
        except (ValueError, KeyError, TypeError, AttributeError, statistics.StatisticsError) as error:
            what = f"no run of a pool: {type(error).__name__}: {error}"
            raise DataError(what, where=f"{path}:{number}") from error
    name = min((run["system"] for run in runs), key=len, default=REFERENCE)
    return [{**run, "system": run["system"].replace(name, REFERENCE, 1)} for run in runs]


def log_times(run: Row) -> dict[str, float]:
    """The logarithm of a run's time by each metric that it has.

    Offline: the median pass over all languages. Single-stream: the median latency of all its queries.
    """
    found = {}
    if run["offline"]:
        passes = zip(*(of["seconds"] for of in run["offline"].values()), strict=True)
        found["offline"] = math.log(statistics.median(math.fsum(of_languages) for of_languages in passes))
    if run["single_stream"]:
        latencies = [seconds for of in run["single_stream"].values() for seconds in of["latencies_s"]]
        found["single_stream"] = math.log(percentile(latencies, 0.5))
    return found


def blocks(runs: Sequence[Row]) -> list[list[Row]]:
    """The runs by block, in the order they ran.

    Raises:
        DataError: a block is not the three systems, once each or there and back; names it.
    """
    found: dict[int, list[Row]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: (r["block"], r["position"])):
        found[run["block"]].append(run)
    for number, block in found.items():
        order = [run["system"] for run in block]
        three = sorted([REFERENCE, CONTROL, SLOWED])
        if sorted(order) != three and (order != order[::-1] or sorted(order) != sorted(2 * three)):
            rule = f"{', '.join(three)} must run once each (taking turns), or once each and once each in reverse"
            raise DataError(f"ran {order}: {rule}", where=f"block {number}")
    return list(found.values())


def differences(pool: Sequence[Sequence[Row]], metric: str, system: str) -> list[float]:
    """One number a block: the log ratio of ``system``'s time to A's."""

    def pieces(block: Sequence[Row], name: str) -> list[dict[str, Timed]]:
        return [_timed(run[metric]) for run in block if run["system"] == name]

    found = (mean_log_ratio(pieces(block, system), pieces(block, REFERENCE)) for block in pool)
    return [ratio for ratio in found if ratio is not None]


def _timed(said: Mapping[str, Row]) -> dict[str, Timed]:
    return {
        language: Timed(tuple(of["seconds"] if "seconds" in of else of["latencies_s"]), tuple(of["turns"]))
        for language, of in said.items()
    }


def described(values: Sequence[float]) -> Row:
    """Block differences in numbers: the ratio with its interval, their scatter, and whether neighbours are alike."""
    found, sd, n = compare(values, None), statistics.stdev(values), len(values)
    apart = [v - statistics.fmean(values) for v in values]
    squares = math.fsum(a * a for a in apart)
    return {
        "ratio": found.ratio,
        "low_95": found.low_95,
        "high_95": found.high_95,
        "sd": sd,
        "sd_at_most": sd * math.sqrt((n - 1) / float(chi2.ppf(0.05, n - 1))),  # with 95 % confidence, if normal
        "lag_1": math.fsum(a * b for a, b in pairwise(apart)) / squares if squares else 0.0,
        "log_differences": list(values),
    }


def whole_studies(pools: Mapping[str, Row], *, pairs: int, margin: float, rounds: int, seed: int) -> float:
    """The share of studies in which every metric's control and slowed system come out as they must, all at once."""
    count = len(next(iter(pools.values()))["control"]["log_differences"])
    drawn = np.random.default_rng(seed).integers(count, size=(rounds, pairs))
    passed: NDArray[np.bool_] = np.ones(rounds, dtype=np.bool_)
    for of in pools.values():
        control, slowed = (np.asarray(of[name]["log_differences"])[drawn] for name in ("control", "slowed"))
        passed &= inside(control, margin) & (interval(slowed, 0.95)[0] > 0)
    return float(passed.mean())


def analyse(runs: Sequence[Row], *, rounds: int = 10_000, seed: int = 0) -> Row:
    """Block differences, the design by resampling, and what a normal model says; all as JSON values.

    ``design`` holds one row for each margin and number of blocks; ``chosen`` is that of the smallest margin, then of the
    fewest blocks, in which every metric has both powers; ``None`` if there is none.

    Raises:
        DataError: a block is not as it must be, or no metric is in every run.
    """
    pool = blocks(runs)
    present = [metric for metric in METRICS if runs and all(metric in log_times(run) for run in runs)]
    if not present:
        raise DataError(f"no metric of {list(METRICS)} is in every run of the pool")
    metrics = {
        metric: {
            "control": described(differences(pool, metric, CONTROL)),
            "slowed": described(differences(pool, metric, SLOWED)),
            "sd_of_runs": statistics.stdev(log_times(r)[metric] for r in runs if r["system"] == REFERENCE),
        }
        for metric in present
    }
    grid, model = designed(metrics, rounds, seed), list(simulation(metrics, rounds, seed))
    return {
        "runs": len(runs),
        "blocks": len(pool),
        "runs_per_system": sum(map(len, pool)) // 3,
        "largest_other_cpu_share": max((r.get("other_cpu_share") or 0.0 for r in runs), default=0.0),
        "slowdown": SLOWDOWN,
        "share": SHARE,
        "rounds": rounds,
        "seed": seed,
        "metrics": metrics,
        "design": grid,
        "chosen": next((cell for cell in grid if cell["reached"]), None),
        "fewest": fewest((cell["margin"], cell["blocks"]) for cell in grid if cell["reached"]),
        "simulation": model,
        "fewest_if_noisier": fewest(reached_by_all(of["cells"] for of in model if of["size"] == "sd_at_most")),
    }


def designed(metrics: Mapping[str, Row], rounds: int, seed: int) -> list[Row]:
    """The rates of every margin and number of blocks by each metric, by rising margin, then by number of blocks."""
    tables = [
        design(
            of["control"]["log_differences"],
            of["slowed"]["log_differences"],
            margins=MARGINS,
            counts=COUNTS,
            rounds=rounds,
            seed=seed,
            share=SHARE,
        ).cells
        for of in metrics.values()
    ]
    return [
        {
            "margin": cells[0].margin,
            "blocks": cells[0].pairs,
            "rates": {metric: asdict(cell.rates) for metric, cell in zip(metrics, cells, strict=True)},
            "reached": all(cell.rates.reach(SHARE) for cell in cells),
            "whole": whole_studies(metrics, pairs=cells[0].pairs, margin=cells[0].margin, rounds=rounds, seed=seed),
        }
        for cells in zip(*tables, strict=True)
    ]


def simulation(metrics: Mapping[str, Row], rounds: int, seed: int) -> Iterator[Row]:
    """The same table for normal noise as large as the pool's, and as large as the pool allows; here the truth is known."""
    for metric, of in metrics.items():
        for size in ("sd", "sd_at_most"):
            sd = max(of["control"][size], of["slowed"][size])
            cells = [
                {"margin": m, "blocks": n, **asdict(simulated(sd, n, m, math.log1p(SLOWDOWN), rounds, seed))}
                for m in MARGINS
                for n in COUNTS
            ]
            yield {"metric": metric, "size": size, "sd": sd, "cells": cells}


def reached_by_all(tables: Iterable[Sequence[Row]]) -> Iterator[tuple[float, int]]:
    """Margin and blocks of the cells that have both powers in every table."""
    for cells in zip(*tables, strict=True):
        if all(cell["equivalent"] >= SHARE and cell["slower"] >= SHARE for cell in cells):
            yield cells[0]["margin"], cells[0]["blocks"]


def fewest(reached: Iterable[tuple[float, int]]) -> list[Row]:
    """The fewest blocks of each margin, by rising margin."""
    least: dict[float, int] = {}
    for margin, count in reached:
        least[margin] = min(count, least.get(margin, count))
    return [{"margin": margin, "blocks": least[margin]} for margin in sorted(least)]


def markdown(found: Row) -> str:
    """The analysis for people."""
    parts = [
        verdict(found),
        "### Block differences of the pool",
        _table(NOISE, _noise(found)),
        f"Blocks are taken as independent: a lag-1 correlation within ±{2 / math.sqrt(found['blocks']):.2f} fits that. "
        f"Largest share of the machine that others used in a run: {_percent(found['largest_other_cpu_share'])}.",
        f"### Studies drawn from the pool ({found['rounds']} for each number, seed {found['seed']})",
        "By number of blocks. A system is equivalent when the 90 % interval lies inside the margin, slower or a false "
        "alarm when the 95 % interval excludes 1, missed when it is slower and declared equivalent. What the pool's A-A "
        "ratio is off 1 by chance counts as true here, so false alarms are judged by the normal model below.",
    ]
    for metric in found["metrics"]:
        cells = [{"margin": c["margin"], "blocks": c["blocks"], **c["rates"][metric]} for c in found["design"]]
        parts += [f"By {METRICS[metric]}:", _grid(cells)]
    parts += [
        "Every control and every slowed system right, by every metric at once:",
        _table(["margin", *map(str, COUNTS)], _by_margin(found["design"], "whole")),
        f"### Studies of a normal model ({found['rounds']} for each number, seed {found['seed']})",
        "A-A is equal in truth and the slowed system exactly 5 % slower. The standard deviation is that of the pool's "
        "block differences (the larger of the two systems'), then the largest that the pool allows.",
    ]
    for of in found["simulation"]:
        parts += [f"{METRICS[of['metric']]}, standard deviation {_percent(of['sd'])}:", _grid(of["cells"])]
    return "\n\n".join(parts) + "\n"


def verdict(found: Row) -> str:
    """What follows, in a few sentences."""
    size = f"The pool has {found['runs_per_system']} runs of each system in {found['blocks']} blocks."
    chosen, must = found["chosen"], f"in at least {_percent(found['share'])} of studies, by each metric"
    if chosen is None:
        return (
            f"{size} **No margin up to {_percent(MARGINS[-1])} with up to {COUNTS[-1]} blocks** declares A-A equivalent "
            f"and +5 % slower {must}: this machine is too noisy for such a claim."
        )
    least, noisier = (
        ", ".join(f"{_percent(c['margin'])}: {c['blocks']}" for c in found[name]) or "none"
        for name in ("fewest", "fewest_if_noisier")
    )
    return (
        f"{size} **A margin of {_percent(chosen['margin'])} with {chosen['blocks']} blocks** is the smallest that "
        f"declares A-A equivalent and +5 % slower {must}; every control and slowed system comes out right at once in "
        f"{_percent(chosen['whole'])}. Fewest blocks by margin: {least}. If block differences scatter as much as the "
        f"pool allows (95 %, normal): {noisier}."
    )


NOISE = ["metric", "system", "ratio to A", "95 % interval", "SD of block differences", "SD at most (95 %)"]
NOISE += ["SD of A's runs, unpaired", "lag-1 correlation"]


def _noise(found: Row) -> Iterator[list[str]]:
    for metric, of in found["metrics"].items():
        for name, system in ((CONTROL, of["control"]), (SLOWED, of["slowed"])):
            ratio = [f"{system['ratio']:.4f}", f"{system['low_95']:.4f} to {system['high_95']:.4f}"]
            scatter = [_percent(sd) for sd in (system["sd"], system["sd_at_most"], of["sd_of_runs"])]
            yield [METRICS[metric], name, *ratio, *scatter, f"{system['lag_1']:+.2f}"]


def _grid(cells: Sequence[Row]) -> str:
    """Rates by number of blocks. What is slower or a false alarm does not hang on the margin: one line each."""
    rows = [[f"A-A equivalent within {line[0]}", *line[1:]] for line in _by_margin(cells, "equivalent")]
    for name, field in (("A-A false alarm", "false_alarm"), ("+5 % slower", "slower")):
        rows.append([name, *next(_by_margin(cells, field))[1:]])
    rows += [[f"+5 % missed within {line[0]}", *line[1:]] for line in list(_by_margin(cells, "missed"))[-1:]]
    return _table(["blocks", *map(str, COUNTS)], rows)


def _by_margin(cells: Sequence[Row], field: str) -> Iterator[list[str]]:
    for margin in MARGINS:
        yield [_percent(margin), *(_percent(cell[field]) for cell in cells if cell["margin"] == margin)]


def _percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    """Analyse a pool and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="OUT.md and OUT.json are written")
    parser.add_argument("--intro", type=Path, help="Markdown that the record begins with")
    parser.add_argument("--rounds", type=int, default=10_000, help="studies drawn for each number (default: 10,000)")
    args = parser.parse_args()
    found = analyse(read(args.pool), rounds=args.rounds)
    intro = f"{args.intro.read_text(encoding='utf-8').strip()}\n\n" if args.intro else ""
    # Not with_suffix: a dot in the name (v1.2) would be taken for one.
    args.out.with_name(f"{args.out.name}.md").write_text(intro + markdown(found), encoding="utf-8")
    args.out.with_name(f"{args.out.name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(verdict(found))


if __name__ == "__main__":
    main()
