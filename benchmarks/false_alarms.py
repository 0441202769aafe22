"""How often the comparison calls an arm better that is the baseline itself, with other seeds.

    python -m benchmarks.false_alarms STORE STUDY [--arm ARM]
    python -m benchmarks.false_alarms --simulate 200

The seeds of one arm are split at random into two groups, called A and B and paired; the whole comparison runs, corrections
included; then they are split again. With six seeds there are 20 splits, so 200 relabelings repeat each other: the share is
what these seeds give, not an estimate from 200 independent studies. ``--simulate`` draws every study anew: there it is one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from xstilts.graph.store import Store
from xstilts.report.comparison.compare import compare
from xstilts.report.results import study_results
from xstilts.statistics.corrections import Correction, Declared, Family

Row = dict[str, Any]
FEWEST_SEEDS = 6
SIMULATED = {"xnli": "ar bg de en fr", "udpos": "de en fi hi ja", "xquad": "ar de en hi zh"}


def relabelled(rows: Sequence[Mapping[str, Any]], arm: str, a: Sequence[int], b: Sequence[int]) -> list[Row]:
    """The rows of these seeds of one arm, as those of two arms with paired seeds."""
    names = {seed: ("A", number) for number, seed in enumerate(a)} | {seed: ("B", n) for n, seed in enumerate(b)}
    return [
        {**row, "arm": names[row["seed"]][0], "seed": names[row["seed"]][1]}
        for row in rows
        if row["arm"] == arm and row["seed"] in names
    ]


def as_study(study: Mapping[str, Any], pairs: int) -> dict[str, Any]:
    """The study with A as the baseline arm and B as the other."""
    arms = {"A": {"intermediate": None}, "B": {"intermediate": "none, relabelled"}}
    return {**study, "arms": arms, "seeds": list(range(pairs))}


def relabelings(
    rows: Sequence[Mapping[str, Any]], study: Mapping[str, Any], arm: str, count: int, seed: int
) -> Iterator[tuple[list[Row], dict[str, Any]]]:
    """Random splits of an arm's seeds in two halves."""
    seeds = sorted({row["seed"] for row in rows if row["arm"] == arm})
    if len(seeds) < FEWEST_SEEDS:
        sys.exit(f"arm {arm!r} has {len(seeds)} seeds with scores; at least {FEWEST_SEEDS} are needed")
    pairs, rng = len(seeds) // 2, np.random.default_rng(seed)
    for _ in range(count):
        drawn = [int(s) for s in rng.permutation(seeds)]
        yield relabelled(rows, arm, drawn[:pairs], drawn[pairs : 2 * pairs]), as_study(study, pairs)


def simulated(count: int, pairs: int, rows: int, seed: int) -> Iterator[tuple[list[Row], dict[str, Any]]]:
    """Studies of two arms that are equal: scores of so many rows, a spread of seeds, part of it shared by the languages."""
    rng = np.random.default_rng(seed)
    study = as_study({"models": {"simulated": {}}, "targets": list(SIMULATED), "source": "en"}, pairs)
    for _ in range(count):
        found = []
        for arm, at, target in product("AB", range(pairs), SIMULATED):
            shared = rng.normal(70, 1.5)
            for language in SIMULATED[target].split():
                right = round(rows * min(100.0, shared + rng.normal(0, 1.5)) / 100)
                found.append({
                    "model": "simulated", "arm": arm, "target": target, "language": language, "split": "test", "seed": at,
                    "value": 100 * right / rows, "status": "ok", "key": f"{arm} {target} {at}",
                })  # fmt: skip
        yield found, study


def shares(
    studies: Sequence[tuple[list[Row], dict[str, Any]]], split: str, declared: Declared, targets: Mapping[str, Any]
) -> dict[str, Any]:
    """Of the studies: in how many anything is called better, or worse, and how many tests each has."""
    better = worse = tests = 0
    for rows, study in studies:
        found = compare(rows, study, split, declared, targets)
        verdicts = {cell.verdict for of in found for cell in of.cells.values()}
        better += "better" in verdicts
        worse += "worse" in verdicts
        tests = max([tests, *(of.tests for of in found)])
    return {
        "family": declared.family,
        "correction": declared.correction,
        "tests": tests,
        "better": better / len(studies),
        "worse": worse / len(studies),
    }


def main() -> None:
    """Print one line for each family and correction."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("study", nargs="?")
    parser.add_argument("--arm", help="default: the first without intermediate training")
    parser.add_argument("--split", default="test")
    parser.add_argument("--relabelings", type=int, default=200)
    parser.add_argument("--simulate", type=int, metavar="STUDIES", help="simulated studies instead of a store")
    parser.add_argument("--pairs", type=int, default=3, help="simulated seeds of each arm")
    parser.add_argument("--rows", type=int, default=200, help="simulated evaluation rows")
    parser.add_argument("--level", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    targets: Mapping[str, Any] = {}
    if given.simulate:
        studies = list(simulated(given.simulate, given.pairs, given.rows, given.seed))
    elif given.study is None:
        parser.error("give STORE and STUDY, or --simulate")
    else:
        results = study_results(Store(given.store), given.study)
        arms, targets = results.study["arms"], results.payload.get("targets", {})
        arm = given.arm or next(name for name, of in arms.items() if of["intermediate"] is None)
        studies = list(relabelings(results.main, results.study, arm, given.relabelings, given.seed))
    error = math.sqrt(given.level * (1 - given.level) / len(studies))
    print(
        f"{len(studies)} studies without a difference; level {given.level:g}, standard error of a share at it {error:.3f}"
    )
    for family, correction in product(get_args(Family), get_args(Correction)):
        declared = replace(Declared(level=given.level, against="A"), family=family, correction=correction)
        found = shares(studies, given.split, declared, targets)
        if given.json:
            print(json.dumps(found))
        else:
            called = f"better {found['better']:.3f}  worse {found['worse']:.3f}"
            print(f"{family:10} {correction:20} {found['tests']:4d} tests  {called}")


if __name__ == "__main__":
    main()
