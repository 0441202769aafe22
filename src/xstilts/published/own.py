"""Studies of ours as the comparison sees them: rows, arms by what they learned, and how each number was made.

They come from a store, or from a record that was kept of one (``xstilts results --json``) with its study file beside it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from xstilts.errors import DataError, MissingNameError, shown
from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.hyperparameters import MASKED_LM
from xstilts.metrics import xtreme
from xstilts.outside import MOST_BYTES, parse_json, read_bytes
from xstilts.published import settings
from xstilts.published.numbers import Published
from xstilts.report.random_weights import RANDOM
from xstilts.report.results import Results, study_results
from xstilts.study import Study
from xstilts.tasks import load

Row = Mapping[str, Any]
NEEDED = (
    "model",
    "arm",
    "target",
    "language",
    "split",
    "seed",
    "metric",
    "value",
    "count",
    "selection",
    "layer",
    "pooling",
)
"""What a row of a record must have: later fields of results need not be in older records."""
OTHER_LAYERS = ("curve", "fixed_layer", "best_on_dev", "best_on_test")
FIXED = "fixed_layer"
Place = tuple[str, str, str, str]
"""Model, arm, target, split."""
SeedScores = dict[int, float]
PROBE = "probe"
"""The note that says that a study is a probe."""


@dataclass(frozen=True)
class OwnArm:
    """What an arm learned before its targets: tasks (``masked_lm`` among them), and in which languages if it says so.

    ``tasks`` is ``None`` where a record does not say; ``text_languages`` are those of the text of masked LM.
    """

    tasks: tuple[str, ...] | None
    source: str | None = None
    target_source: str | None = None
    text_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnModel:
    """A model of a study: its name, what it is published as if it is, its note, and where it is from, as one text."""

    name: str
    published: str | None = None
    note: str = ""
    origin: str | None = None


@dataclass(frozen=True)
class OwnStudy:
    """One study of ours.

    Args:
        name: of the study, or of the file.
        rows: one for each number, every layer of a sweep among them (``xstilts.report.results.FIELDS``).
        arms, models: by name.
        files: the study's stand-ins, ``task.split`` -> names.
        limited: whether rows were limited or stand-ins used, so that it is not the whole method.
        probe: a study of a few steps an arm, made to rank tasks (``xstilts.recommend``).
        made: (row) -> how its number was made.
        layers: of each model, as far as its sweep shows.
        source: language of the rows of arms that say no other.
        cut: whether a training was cut to a number of steps.
        refused: models with random weights: their rows are left out.
    """

    name: str
    rows: tuple[Row, ...]
    arms: Mapping[str, OwnArm]
    models: Mapping[str, OwnModel]
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limited: bool = False
    probe: bool = False
    made: Callable[[Row], settings.Settings] = lambda row: {}
    layers: Mapping[str, int] = field(default_factory=dict)
    source: str = "en"
    cut: bool = False
    refused: tuple[str, ...] = ()

    @property
    def baseline(self) -> str | None:
        """The first arm without intermediate training that is fine-tuned in the study's language."""
        found = (name for name, arm in self.arms.items() if arm.tasks == ())
        return next((name for name in found if self.languages_of(name)[1] == self.source), None)

    def languages_of(self, arm: str) -> tuple[str, str]:
        """In which languages an arm has its intermediate rows and its fine-tuning rows."""
        of = self.arms[arm]
        return of.source or self.source, of.target_source or self.source

    def arm_of(self, *tasks: str) -> str | None:
        """The first arm that learned just these tasks, both stages in the study's own language."""
        wanted, own = set(tasks), (self.source, self.source)
        for name, arm in self.arms.items():
            if arm.tasks is not None and set(arm.tasks) == wanted and self.languages_of(name) == own:
                return name
        return None

    @cached_property
    def _by_place(self) -> dict[Place, list[Row]]:
        found: dict[Place, list[Row]] = {}
        for row in self.rows:
            if row["value"] is not None:
                found.setdefault((row["model"], row["arm"], row["target"], row["split"]), []).append(row)
        return found

    def main(self, model: str, arm: str, target: str, split: str, *, fixed: bool = False) -> list[Row]:
        """The rows that count for a target's main score; with ``fixed`` those read at the fixed layer."""
        return [
            r
            for r in self._by_place.get((model, arm, target, split), ())
            if r["metric"] in load(target).main_score
            and (r["selection"] == FIXED if fixed else r["selection"] not in OTHER_LAYERS)
        ]

    def places(self) -> list[Place]:
        """Every place with a number, in the rows' order; targets from outside the package are left out."""
        return [place for place in self._by_place if _known(place[2])]


def over_languages(rows: Iterable[Row], metric: str | None, languages: Iterable[str] | None = None) -> SeedScores:
    """Seed -> mean over the languages of a metric (``None``: of the mean of all of them); complete seeds only.

    What one seed has all must have, or the seeds would be means of different things. ``languages`` chooses.
    """
    chosen = None if languages is None else set(languages)
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if (metric is None or row["metric"] == metric) and (chosen is None or row["language"] in chosen):
            values[row["seed"]][row["language"]].append(row["value"])
    every: set[str] = set().union(*values.values())
    return {
        seed: xtreme.mean(xtreme.mean(of[code]) for code in sorted(every))
        for seed, of in values.items()
        if set(of) == every
    }


def from_store(store: Store, published: Published, study: str | None = None) -> list[OwnStudy]:
    """The studies of a store, or the one called ``study``.

    Raises:
        MissingNameError: no such study.
        StoreError: a score node is damaged.
    """
    payloads = store.studies()
    if study is not None and study not in payloads:
        raise MissingNameError("study", study, list(payloads), where=str(store.root))
    return [own_study(store, study_results(store, name), published) for name in payloads if study in (None, name)]


def own_study(store: Store, results: Results, published: Published) -> OwnStudy:
    """A study of a store, from its results."""

    def trained(node: Node) -> int | None:
        file = store.path(node.key) / "training.json"
        if not file.is_file():
            return None
        rows = json.loads(file.read_text(encoding="utf-8")).get("rows_trained_on")
        return rows if isinstance(rows, int) else None

    return _study(
        results.name,
        results.rows,
        results.study,
        published,
        lambda row: settings.from_nodes(results.nodes, row["key"], trained),
    )


def from_records(file: Path, published: Published, study: Study | None = None) -> OwnStudy:
    """A record of a study: one JSON row a line, or one JSON list; ``study`` says how it was made.

    Raises:
        DataError: a line that is no row of results; the file and line are named.
    """
    rows = _read_rows(file)
    if study is None:
        rows, refused = _learned(rows)
        arms = {r["arm"]: OwnArm(_named(r["arm"])) for r in rows}
        models = {r["model"]: OwnModel(r["model"]) for r in rows}
        return OwnStudy(file.name, tuple(rows), arms, models, layers=_layers(rows), refused=refused)
    for what, named in (("arm", study.arms), ("model", study.models)):
        if unknown := sorted({r[what] for r in rows} - set(named)):
            raise DataError(
                f"the study has no {what} {unknown[0]!r}", where=str(file), hint="is it this study's record?"
            )
    return _study(
        study.name,
        rows,
        study.model_dump(mode="json"),
        published,
        lambda row: settings.from_study(study, row["arm"], row["target"]),
    )


def _study(
    name: str,
    rows: Sequence[Row],
    said: Mapping[str, Any],
    published: Published,
    made: Callable[[Row], settings.Settings],
) -> OwnStudy:
    arms = {}
    for arm, of in said["arms"].items():
        learned = of["intermediate"]
        tasks = () if learned is None else (learned,) if isinstance(learned, str) else tuple(learned)
        text = tuple((of.get("masked_lm") or {}).get("languages", ()))
        arms[arm] = OwnArm(tasks, of.get("source"), of.get("target_source"), text)
    models = {
        model: OwnModel(
            model,
            None if of.get("keep_layers") else _published_as(of, published),
            of.get("note") or "",
            json.dumps({name: of.get(name) for name in ("id", "path", "pretrain", "keep_layers")}, sort_keys=True),
        )
        for model, of in said["models"].items()
    }
    rows, refused = _learned(rows)
    limits, files = said["limits"], said["data"]["files"]
    cuts = limits["train_rows"] or {}
    rows_cut = cuts if isinstance(cuts, int) else set(cuts) - {MASKED_LM}  # lines of text are no rows
    limited = bool(rows_cut or limits["evaluation_rows"] or files)
    cut = any("max_steps" in of for task, of in said["training"].items() if task != MASKED_LM)
    return OwnStudy(
        name,
        tuple(rows),
        arms,
        models,
        files,
        limited,
        PROBE in said["notes"],
        made,
        _layers(rows),
        said["source"],
        cut,
        refused,
    )


def _learned(rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows without those of models with random weights, which stand for no claim, and the names of these models."""
    refused = sorted({r["model"] for r in rows if r.get("weights") == RANDOM})
    return [r for r in rows if r["model"] not in refused], tuple(refused)


def _published_as(model: Mapping[str, Any], published: Published) -> str | None:
    """The published model that this one is by its hub id or its folder's name, never by what a study calls it."""
    return published.model_of(model.get("id"), model.get("path"))


def _layers(rows: Iterable[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["layer"] is not None and row["selection"] == "curve":
            found[row["model"]] = max(found.get(row["model"], 0), int(row["layer"]))
    return found


def _named(arm: str) -> tuple[str, ...] | None:
    """What an arm learned, if its name is all there is: ``none``, or a task's name."""
    if arm == "none":
        return ()
    return (arm,) if _known(arm) else None


def _known(task: str) -> bool:
    try:
        load(task)
    except MissingNameError:
        return False
    return True


def _read_rows(file: Path) -> list[Row]:
    try:
        text = read_bytes(file, MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(file)) from None
    whole = text.lstrip().startswith("[")
    pieces = [(1, text)] if whole else [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    found: list[tuple[int, Any]] = []
    for number, piece in pieces:
        try:
            value = parse_json(piece)
        except ValueError as error:
            line = getattr(error, "lineno", 1) if whole else number
            raise DataError(f"not JSON: {getattr(error, 'msg', error)}", where=f"{file}:{line}") from None
        found += [(number, row) for row in value] if whole else [(number, value)]
    for number, row in found:
        if wrong := _wrong(row):
            raise DataError(
                f"not a row of results: {wrong}",
                where=f"{file}:{number}",
                hint="a record is what `xstilts results --json` gives, one row a line",
            )
    return [row for _, row in found]


def _wrong(row: Any) -> str:
    """What is wrong with a row; empty for nothing."""
    if not isinstance(row, dict):
        return "an object is missing"
    for name in NEEDED:
        if name not in row:
            return f"{name} is missing"
        kinds = (int, float) if name == "value" else (int,) if name in ("seed", "count", "layer") else (str,)
        if row[name] is None and name not in ("model", "arm", "target"):
            continue
        if type(row[name]) not in kinds or row[name] != row[name]:
            return f"{name} is {shown(row[name])}"
    return ""
