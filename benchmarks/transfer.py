"""Does anything cross over? The lower bound of each arm's zero-shot mean against guessing, from a store with several seeds.

    xstilts run pocket --data pocket --store store --device cpu --device cpu --seeds 1,2,3
    python -m benchmarks.transfer --store store --study pocket

For each target and arm: the mean over the languages that are not the source, for each seed; its mean over seeds and the
one-sided 95 % lower bound of that (Student's t); beside it what guessing scores in these languages (docs/results.md), and how
many of the scores are marked as chance. Retrieval does not depend on the seed in the baseline arm: one number, no bound.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import defaultdict
from pathlib import Path

from xstilts.graph.store import Store
from xstilts.metrics import xtreme
from xstilts.report.results import study_results

T_95 = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860, 9: 1.833}
"""Student's t, one-sided 95 %, by degrees of freedom."""


def bound(values: list[float]) -> float | None:
    """The one-sided 95 % lower bound of the mean of 2 to 10 values; ``None`` for a single one."""
    if len(values) < 2:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - T_95[len(values) - 1] * error


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--study", required=True)
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    results = study_results(Store(args.store), args.study)
    scores: dict[tuple[str, str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    marked: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in results.main:
        if row["split"] != args.split or row["value"] is None or row["language"] == row["source"]:
            continue
        scores[row["target"], row["arm"], row["seed"]][row["language"]].append(row["value"])
        keys[row["target"], row["arm"]].add(row["key"])
        marked[row["target"], row["arm"]].append(row["status"] != "ok")
    print(
        "| target | arm | seeds | mean | lower 95 % | chance | above | at chance |\n|---|---|---:|---:|---:|---:|---|---:|"
    )
    for target, arm in dict.fromkeys((target, arm) for target, arm, _ in scores):
        found = [v for (t, a, _), v in scores.items() if (t, a) == (target, arm)]
        means = [xtreme.mean(xtreme.mean(values) for values in by_language.values()) for by_language in found]
        means = means[: len(keys[target, arm])]  # copies of one run are one run
        others = [value for code, value in results.guesses[target, args.split].items() if code in found[0]]
        low, chance, at_chance = bound(means), xtreme.mean(others), marked[target, arm]
        shown, above = ("-", "-") if low is None else (f"{low:.1f}", "yes" if low > chance else "no")
        print(
            f"| {target} | {arm} | {len(means)} | {statistics.fmean(means):.1f} | {shown} | {chance:.1f} | {above} "
            f"| {sum(at_chance)}/{len(at_chance)} |"
        )


if __name__ == "__main__":
    main()
