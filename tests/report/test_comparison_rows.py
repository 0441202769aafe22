"""The example bootstrap of a study: from what score nodes keep to intervals given these seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from xstilts.cli import app
from xstilts.errors import StatisticsError, StoreError
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.metrics.additive import Contributions
from xstilts.metrics.kept import write_contributions
from xstilts.report.comparison.cells import Comparison
from xstilts.report.comparison.compare import compare_study
from xstilts.report.comparison.tables import comparison_grids
from xstilts.report.results import study_results
from xstilts.tasks import load

STUDY: dict[str, Any] = {
    "name": "s",
    "targets": ["xnli", "udpos", "bucc2018"],
    "arms": {"none": {"intermediate": None}, "mnli": {"intermediate": "mnli"}},
    "splits": ["test", "dev"],
    "seeds": [1, 2],
    "source": "en",
    "models": {"m": {"note": ""}},
}
ROWS = 60


class World:
    """A store with score nodes alone; what each row gives is drawn, and the scores are made of it."""

    def __init__(self, root: Path, study: dict[str, Any] | None = None) -> None:
        self.store, self.study = Store(root), study or STUDY
        self.nodes: list[Node] = []
        self.cells: list[dict[str, Any]] = []

    def score(
        self, arm: str, target: str, seed: int, found: dict[str, Contributions], *, keep: bool = True, off: float = 0.0
    ) -> None:
        task = load(target)
        tuned = Node("train", {"training": {"selection": "dev"}, "of": [arm, target, seed]})
        predict = Node("predict", {"task": target}, {"model": tuned.key})
        node = Node("score", {"task": target}, {"predictions": predict.key})
        out = self.store.begin(node)
        rows = []
        for language, contributions in found.items():
            scores = task.metric.scores(contributions.sums())  # type: ignore[attr-defined]
            common = {"language": language, "count": len(contributions), "selection": None, "status": "ok"}
            rows += [common | {"metric": name, "value": v + off, "main": name in task.main_score, "layer": None,
                               "pooling": None} for name, v in scores.items()]  # fmt: skip
            if keep:
                write_contributions(out / "rows" / f"{language}.npz", contributions)
        (out / "scores.json").write_text(json.dumps(rows))
        self.store.commit(node, out, {})
        self.nodes += [tuned, predict, node]
        place = {"model": "m", "arm": arm, "target": target, "split": "test", "seed": seed, "key": node.key}
        self.cells.append(place)

    def done(self) -> Store:
        nodes = [n.as_json() for n in self.nodes]
        self.store.save_study("s", {"study": self.study, "nodes": nodes, "cells": self.cells, "targets": {}})
        return self.store


def right(share: float, seed: int, rows: int = ROWS) -> Contributions:
    """So many rows right, the hard ones the same for every share."""
    hardness = np.random.default_rng(7).uniform(size=rows) + np.random.default_rng(seed).normal(0, 0.05, rows)
    return Contributions({"right": (hardness < share).astype(float).tolist()})


def tagged(share: float, seed: int) -> Contributions:
    rng = np.random.default_rng(seed)
    gold = rng.integers(1, 6, ROWS).astype(float)
    hit = rng.binomial(gold.astype(int), share).astype(float)
    columns = {"right": hit, "predicted": gold, "gold": gold, "tags": gold, "right_tags": hit}
    return Contributions({name: values.tolist() for name, values in columns.items()})


def mined(share: float, seed: int) -> Contributions:
    """Which sentences are mined differs between systems: rows are matched by name."""
    rng = np.random.default_rng(seed)
    units = sorted(f"d{n}" for n in range(40) if n < 30 or rng.uniform() < 0.5)
    gold = [float(int(u[1:]) < 30) for u in units]
    hit = [g * float(rng.uniform() < share) for g in gold]
    more = [h if g else 1.0 for h, g in zip(hit, gold, strict=True)]
    return Contributions({"right": hit, "predicted": more, "gold": gold}, units)


def world(root: Path, **options: Any) -> Store:
    made = World(root)
    for seed in (1, 2):
        for arm, share in (("none", 0.5), ("mnli", 0.7)):
            number = seed + 10 * (arm == "mnli")
            made.score(arm, "xnli", seed, {code: right(share, number) for code in ("de", "en", "fr")}, **options)
            made.score(arm, "udpos", seed, {"de": tagged(share, number)}, **options)
            made.score(arm, "bucc2018", seed, {"de": mined(share, number)}, **options)
    return made.done()


def compared(store: Store, rounds: int = 400) -> Comparison:
    (found,) = compare_study(store, study_results(store, "s"), rounds=rounds)
    return found


def interval(of: Comparison, name: str, kind: str = "target", target: str = "xnli") -> tuple[float, float] | None:
    (found,) = [
        cell.rows
        for (arm, c), cell in of.cells.items()
        if arm == "mnli" and (c.kind, c.name) == (kind, name) and (kind != "language" or c.targets == (target,))
    ]
    return found


def test_every_difference_has_an_interval_given_these_seeds(tmp_path: Path) -> None:
    of = compared(world(tmp_path))
    for cell in (cell for (arm, _), cell in of.cells.items() if arm == "mnli"):
        assert cell.rows is not None and cell.delta is not None
        assert cell.rows[0] <= cell.delta.mean <= cell.rows[1], cell.column
    assert {cell.rows for (arm, _), cell in of.cells.items() if arm == "none"} == {None}
    notes = " ".join(comparison_grids([of])[0].notes)
    assert "given these seeds: 95 % example bootstrap, 400 draws" in notes
    assert "It does not cover other seeds" in notes


def test_the_interval_is_that_of_rows_drawn_in_pairs(tmp_path: Path) -> None:
    """Checked against the textbook: the standard error of the mean difference of paired rows."""
    low, high = interval(compared(world(tmp_path), 4000), "de", "language") or (0.0, 0.0)
    rows = {arm: np.mean([right(share, s + 10 * (arm == "mnli")).values["right"] for s in (1, 2)], axis=0)
            for arm, share in (("none", 0.5), ("mnli", 0.7))}  # fmt: skip
    difference = 100 * (rows["mnli"] - rows["none"])
    assert (low + high) / 2 == pytest.approx(difference.mean(), abs=2)
    assert high - low == pytest.approx(2 * 1.96 * difference.std() / ROWS**0.5, rel=0.1)
    unpaired = 2 * 1.96 * 100 * (sum(of.var() for of in rows.values()) / ROWS) ** 0.5
    assert high - low < 0.9 * unpaired, "drawing both arms apart would hide the difference"


def test_translations_of_the_same_rows_are_drawn_together(tmp_path: Path) -> None:
    """XNLI's languages hold equal rows here: their average is no surer than one of them."""
    of = compared(world(tmp_path))
    assert interval(of, "xnli") == pytest.approx(interval(of, "de", "language"))


def test_scores_of_an_older_version_are_compared_without_it(tmp_path: Path) -> None:
    of = compared(world(tmp_path, keep=False))
    assert {cell.rows for cell in of.cells.values()} == {None}
    assert of.rounds == 0
    assert cell_delta(of) is not None
    notes = comparison_grids([of])[0].notes
    assert sum(n.startswith("No example bootstrap for") and "scored before rows were kept" in n for n in notes) == 3
    assert compared(world(tmp_path / "new"), 0).without_rows == (), "nobody asked for one"


def cell_delta(of: Comparison) -> float | None:
    (found,) = [
        cell.delta for (arm, c), cell in of.cells.items() if (arm, c.kind, c.name) == ("mnli", "target", "xnli")
    ]
    return None if found is None else found.mean


def test_rows_that_do_not_give_the_score_beside_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the rows kept give"):
        compared(world(tmp_path, off=0.5))


def test_arms_scored_on_other_rows_cannot_be_paired(tmp_path: Path) -> None:
    made = World(tmp_path, STUDY | {"targets": ["xnli"]})
    for seed in (1, 2):
        made.score("none", "xnli", seed, {"de": right(0.5, seed)})
        made.score("mnli", "xnli", seed, {"de": right(0.7, seed, rows=ROWS - 1)})
    with pytest.raises(StatisticsError, match=r"xnli de: scored on \[59, 60\] rows"):
        compared(made.done())


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["compare", "arms", *arguments])


def test_the_verb_prints_writes_and_gives_rows(tmp_path: Path) -> None:
    store = ["--store", str(world(tmp_path / "store").root), "--rounds", "100"]
    printed = run("s", *store, "--target", "xnli")
    assert printed.exit_code == 0, printed.output
    assert "difference to 'none'" in printed.output and "given these seeds" in printed.output
    assert "de German" in printed.output
    page = run("s", *store, "-o", str(tmp_path / "page.md"))
    assert page.exit_code == 0, page.output
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("## s: arms compared\n")
    rows = json.loads(run("s", *store, "--json", "-", "--level", "0.1").output)
    assert {row["level"] for row in rows} == {0.1} and {row["arm"] for row in rows} == {"none", "mnli"}
    assert "no dev scores yet" in run("s", *store, "--split", "dev").output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "train"], "'train' is no split that is scored"),
        (["--target", "xnl"], "unknown target 'xnl'"),
        (["--level", "5"], "the level is 5"),
        (["--rounds", "10"], "at least 40"),
        (["-o", "page.txt"], "must end in .md"),
    ],
)
def test_what_cannot_be_done_is_named(tmp_path: Path, arguments: list[str], says: str) -> None:
    failed = run("s", "--store", str(world(tmp_path).root), "--rounds", "100", *arguments)
    assert failed.exit_code != 0
    assert says in str(failed.exception)


def test_a_split_that_the_study_does_not_evaluate_is_named(tmp_path: Path) -> None:
    store = World(tmp_path, {**STUDY, "splits": ["test"]}).done()
    failed = run("s", "--store", str(store.root), "--split", "dev")
    assert "--split: s evaluates no dev rows\n  --split test" in str(failed.exception)
