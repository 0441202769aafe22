"""A dated record of a study: its tables, what each training saw, retrieval by layer, versions and cost.

    python -m benchmarks.study_record --store STORE --study NAME --out benchmarks/results/DATE-NAME --intro FILE

Writes OUT.md and OUT.jsonl (one row per number, without the curve). What a person concludes from it is written by hand, in
the file given as ``--intro`` or afterwards.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xstilts.graph.store import Store
from xstilts.journey import rows, tables
from xstilts.report.comparison.compare import compare_study
from xstilts.report.comparison.page import comparison_markdown
from xstilts.report.results import study_results
from xstilts.report.table import markdown

Row = dict[str, Any]


def cost(records: Sequence[Row], wanted: int) -> str:
    """How much ran, for how long, with what."""
    attempts = [r["attempt"] for r in records]
    seconds = sum(a["seconds"] for a in attempts)
    peak = max(a["peak_memory_bytes"] for a in attempts) / 2**30
    versions = ", ".join(f"{name} {version}" for name, version in attempts[0]["versions"].items())
    devices = sorted({f"{a.get('device', 'cpu')} with {a['threads']} thread(s)" for a in attempts})
    return (
        f"{len(records)} of {wanted} nodes, {seconds / 60:.0f} worker-minutes on {', '.join(devices)}; largest peak "
        f"memory of a worker {peak:.1f} GiB. {versions}."
    )


def trainings(records: Sequence[Row]) -> Iterator[str]:
    """What each training was given, and where its loss ended."""
    yield from (
        "| arm | seed | task | rows found | dropped: in a test set | trained on | steps | tokens/s | last loss |",
    )
    yield "|---|---:|---|---:|---|---:|---:|---:|---:|"
    for record in records:
        if record["kind"] == "mix":
            yield from _mixed(record)
        elif record["kind"] == "train":
            seen, labels = record["attempt"], record["labels"]
            dropped = ", ".join(f"{k} {v}" for k, v in seen["rows_dropped_overlap"].items() if v) or "0"
            ran = seen["training"]
            names = f"| {labels['arm']} | {labels['seed']} | {labels['task']} | {seen['rows_found']} | {dropped} "
            yield (
                f"{names}| {seen['rows_trained_on']} | {ran['steps']} | {ran['tokens_per_second']:.0f} "
                f"| {ran['final_loss']:.2f} |"
            )


def _mixed(record: Row) -> Iterator[str]:
    """One line for each task of a mixture: its share of the steps; loss and speed are the mixture's."""
    labels, ran = record["labels"], record["attempt"]["training"]
    for task, seen in record["attempt"]["tasks"].items():
        dropped = ", ".join(f"{k} {v}" for k, v in seen.get("rows_dropped_overlap", {}).items() if v) or "0"
        names = f"| {labels['arm']} | {labels['seed']} | {task} | {seen.get('rows_found', '–')} | {dropped} "
        yield (
            f"{names}| {seen['rows_trained_on']} | {seen['steps']} of {ran['steps']} | {ran['tokens_per_second']:.0f} "
            f"| {ran['final_loss']:.2f} |"
        )


def compared(store: Store, study: str, splits: Sequence[str]) -> Iterator[str]:
    """Every arm against its baseline arm, on each split; nothing where there is one arm."""
    results = study_results(store, study)
    for split in splits:
        found = [of for of in compare_study(store, results, split) if of.arms]
        if found:
            yield comparison_markdown(found, study, None).strip()


def curves(found: Sequence[Row]) -> Iterator[str]:
    """Retrieval at every layer, the mean over languages."""
    by_layer: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in found:
        if row["selection"] == "curve" and row["value"] is not None:
            by_layer[row["target"], row["arm"], row["pooling"]][row["layer"]].append(row["value"])
    layers = sorted({layer for of in by_layer.values() for layer in of})
    yield "| target | arm | pooling | " + " | ".join(map(str, layers)) + " |"
    yield "|---|---|---|" + "---:|" * len(layers)
    for names, of in by_layer.items():
        means = [f"{statistics.fmean(of[layer]):.1f}" if layer in of else "–" for layer in layers]
        yield "| " + " | ".join([*names, *means]) + " |"


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--study", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--intro", type=Path)
    args = parser.parse_args()
    store = Store(args.store)
    payload = store.studies()[args.study]
    keys = [node["key"] for node in payload["nodes"]]
    records = [store.record(key) for key in keys if store.has(key)]
    found = rows(store, args.study)
    parts = [f"# {payload['study']['title']}", args.intro.read_text(encoding="utf-8").strip() if args.intro else ""]
    parts += [cost(records, len(keys)), *(markdown(t).strip() for t in tables(store, args.study, by_language=True))]
    parts += compared(store, args.study, payload["study"]["splits"])
    parts += ["### Training", "\n".join(trainings(records)), "### Retrieval by layer", "\n".join(curves(found))]
    args.out.with_suffix(".md").write_text("\n\n".join(p for p in parts if p) + "\n", encoding="utf-8")
    with args.out.with_suffix(".jsonl").open("w", encoding="utf-8") as lines:
        for row in found:
            if row["selection"] != "curve" and not str(row["selection"]).startswith("best_on"):
                lines.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
