"""A study becomes nodes: the specs and keys of every kind, before anything is computed and without torch.

train (intermediate) -> train (target) -> predict -> score, and for retrieval: retrieve -> calibrate -> score. Whatever can
change a result is in a spec; what people call things is in labels; where files lie is beside the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xstilts.errors import DataError
from xstilts.graph.node import Graph, Node
from xstilts.model_source import ModelSource
from xstilts.naming import check_names
from xstilts.study import Study
from xstilts.task_types import Retrieval
from xstilts.tasks import load, outside_digest, targets
from xstilts.tasks.folder import DataFolder
from xstilts.tasks.task import Task

FileEntry = dict[str, str]
FIXED_LAYER_SHARE = 14 / 24
"""The layer of jiant and of XTREME's Tatoeba script for 24-layer models, as a share (FACTS 2.4)."""


@dataclass(frozen=True)
class Cell:
    """One place of the result table and the score node that fills it."""

    model: str
    arm: str
    target: str
    split: str
    seed: int
    key: str


@dataclass(frozen=True)
class Plan:
    """The graph of a study, its table, where inputs lie, and what was left out and why."""

    study: Study
    graph: Graph
    cells: tuple[Cell, ...]
    files: dict[str, str]
    models: dict[str, str]
    precision: str
    left_out: tuple[dict[str, str], ...] = ()

    def payload(self) -> dict[str, Any]:
        """What the store records of a study: enough to show its table without the study file."""
        return {
            "study": self.study.model_dump(mode="json"),
            "nodes": [n.as_json() for n in self.graph],
            "cells": [asdict(c) for c in self.cells],
            "precision": self.precision,
            "left_out": list(self.left_out),
            "targets": {
                t.name: {"group": t.group, "languages": list(t.languages)} for t in map(load, self.study.targets)
            },
        }


def make_plan(
    study: Study,
    data: DataFolder,
    models: Iterable[ModelSource],
    *,
    precision: str,
    digest: Callable[[Path], str],
) -> Plan:
    """Every node of ``study``.

    Args:
        study: the study file.
        data: the data folder with the study's overrides.
        models: the study's models, found.
        precision: ``fp32`` or ``bf16``, resolved for the device.
        digest: sha-256 of a file (cached by size, mtime and inode).

    Raises:
        MissingNameError: a task that does not exist.
        DataError: files that the study needs are not there.
    """
    check_names(study)
    return _Planner(study, data, precision, digest).plan(list(models))


@dataclass
class _Planner:
    study: Study
    data: DataFolder
    precision: str
    digest: Callable[[Path], str]
    nodes: dict[str, Node] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    left_out: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def plan(self, models: list[ModelSource]) -> Plan:
        self._entries = cache(self._read_entries)
        self._languages = cache(self._find_languages)
        self._overlaps = cache(self._find_overlaps)
        for model in models:
            for arm, choice in self.study.arms.items():
                for seed in self.study.seeds:
                    self._arm(model, arm, choice.intermediate, seed)
        graph = Graph(self.study.name, tuple(self.nodes.values()))
        where = {m.identity: str(m.folder) for m in models}
        return Plan(
            self.study, graph, tuple(self.cells), self.files, where, self.precision, tuple(self.left_out.values())
        )

    def _arm(self, model: ModelSource, arm: str, task: str | None, seed: int) -> None:
        labels = {"model": model.name, "arm": arm, "seed": seed}
        start: tuple[dict[str, Any], dict[str, str]] = ({"model": model.identity}, {})
        if task is not None:
            start = ({}, {"model": self._train(load(task), "intermediate", start, labels).key})
        else:
            labels = {**labels, "seed": None}
        trained = [load(t) for t in self.study.targets if load(t).trains_on is not None]
        retrieved = [load(t) for t in self.study.targets if load(t).trains_on is None]
        for target in trained:
            self._trained_target(target, start, {**labels, "seed": seed}, seed)
        if retrieved:
            self._retrieved_targets(retrieved, start, labels, model, seed)

    def _trained_target(
        self, target: Task, start: tuple[dict[str, Any], dict[str, str]], labels: dict[str, Any], seed: int
    ) -> None:
        tuned = self._train(target, "target", start, labels)
        for split in self._splits(target):
            predict = self._add(
                "predict",
                {**self._evaluation(target, split), "rows": self.study.limits.evaluation_rows},
                {"model": tuned.key},
                {**labels, "task": target.name, "split": split},
            )
            self._score(target, split, {"predictions": predict.key}, labels, seed)

    def _retrieved_targets(
        self,
        found: list[Task],
        start: tuple[dict[str, Any], dict[str, str]],
        labels: dict[str, Any],
        model: ModelSource,
        seed: int,
    ) -> None:
        base, parents = start
        every = {"layers": list(range(model.num_layers + 1)), "poolings": list(self.study.retrieval.poolings)}
        calibration = self._calibration(every, start, labels, model)
        for target in found:
            for split in self._splits(target):
                spec = {**base, **self._evaluation(target, split), **every}
                roles = dict(parents)
                if target.type == Retrieval("mined") and split == "test":
                    spec |= {"layers": "calibrated", "poolings": "calibrated"}
                    roles["calibration"] = calibration.key
                node = self._add("retrieve", spec, roles, {**labels, "task": target.name, "split": split})
                self._score(target, split, {"predictions": node.key, "calibration": calibration.key}, labels, seed)

    def _calibration(
        self,
        every: dict[str, Any],
        start: tuple[dict[str, Any], dict[str, str]],
        labels: dict[str, Any],
        model: ModelSource,
    ) -> Node:
        """The layer and the thresholds, from all BUCC dev pairs in the data folder: whatever targets, languages and splits a
        study reports, so that the same model gets the same layer."""
        base, parents = start
        bucc, sweeps, gold = load("bucc2018"), {}, {}
        if self.study.retrieval.layer_from == "bucc_dev":
            there = [lang for lang in bucc.languages if self.data.files(bucc, "dev", lang)]
            gold = {
                lang: self._entries(bucc.name, "dev", lang, True) for lang in there if self._has_gold(bucc, "dev", lang)
            }
        if gold:
            spec = {**base, **self._evaluation(bucc, "dev", tuple(gold)), **every}
            sweeps["bucc_dev"] = self._add("retrieve", spec, parents, {**labels, "task": bucc.name, "split": "dev"})
        spec = {
            "gold": gold,
            "fixed_layer": round(FIXED_LAYER_SHARE * model.num_layers),
            "pooling": self.study.retrieval.pooling,
        }
        roles = {role: node.key for role, node in sweeps.items()}
        return self._add("calibrate", spec, roles, {**labels, "task": "retrieval layer"})

    def _train(
        self, task: Task, role: str, start: tuple[dict[str, Any], dict[str, str]], labels: dict[str, Any]
    ) -> Node:
        """Training of ``task`` from ``start`` (a base model or a parent node), on the rows of the task it trains on."""
        rows_of, source = load(str(task.trains_on)), self.study.source
        settings = self.study.training_of(task.name, role, task.training)
        split = "train"
        spec: dict[str, Any] = {
            **start[0],
            "task": rows_of.name,
            "source": source,
            **self._needed(rows_of, split, source),
            "rows": self.study.train_rows_of(task.name, role),
            "training": settings.model_dump(mode="json"),
            "encoding": self.study.encoding_of(task.name, role, task.encoding).model_dump(mode="json"),
            "precision": self.precision,
            "seed": labels["seed"],
            "tokenizers": _tokenizers(),
            "overlap": self._overlaps(rows_of.name) if self.study.data.drop_overlap else [],
        }
        if settings.selection == "dev":
            spec["dev"] = {"task": task.name, **self._dev(task, role)}
        return self._add("train", spec, start[1], {**labels, "task": task.name, "role": role})

    def _dev(self, task: Task, role: str) -> dict[str, Any]:
        if not self.data.files(task, "dev", self.study.source):
            raise DataError(
                f"{task.name} has no {self.study.source} dev rows to choose the checkpoint on",
                where=str(self.data.root),
                hint=f"add them, or say in the study file: training: {{{task.name}: {{selection: last}}}}",
            )
        return self._entries(task.name, "dev", self.study.source, True)

    def _score(self, target: Task, split: str, parents: dict[str, str], labels: dict[str, Any], seed: int) -> None:
        cut = self.study.limits.evaluation_rows if target.trains_on is not None else None
        spec = {"task": target.name, "split": split, "languages": self._gold(target.name, split), "rows": cut}
        node = self._add("score", spec, parents, {**labels, "task": target.name, "split": split})
        self.cells.append(Cell(labels["model"], labels["arm"], target.name, split, seed, node.key))

    def _evaluation(self, target: Task, split: str, languages: tuple[str, ...] | None = None) -> dict[str, Any]:
        encoding = self.study.encoding_of(target.name, "target", target.encoding)
        return {
            "task": target.name,
            "split": split,
            "languages": {
                language: self._entries(target.name, split, language, False)
                for language in (self._languages(target.name, split) if languages is None else languages)
            },
            "encoding": encoding.model_dump(mode="json"),
            "precision": self.precision,
            "tokenizers": _tokenizers(),
        }

    def _gold(self, target: str, split: str) -> dict[str, Any]:
        return {lang: self._entries(target, split, lang, True) for lang in self._languages(target, split)}

    def _splits(self, target: Task) -> list[str]:
        return [s for s in self.study.splits if s in target.files and self._languages(target.name, s)]

    def _find_languages(self, name: str, split: str) -> tuple[str, ...]:
        """The languages of a target that are evaluated, by the study's rule; test rows that must be there are demanded."""
        task, wish = load(name), self.study.languages
        there = [lang for lang in task.languages if self.data.files(task, split, lang)]
        wanted = list(task.languages) if isinstance(wish, str) else [lang for lang in wish if lang in task.languages]
        only_some = wish in ("available", "with_gold") or split != "test"
        missing = [lang for lang in wanted if lang not in there]
        if missing and (not only_some or not any(self.data.languages(task, s) for s in task.files if s != "train")):
            raise DataError(
                f"{name} has no {split} files for {', '.join(missing)}; looked for "
                f"{' or '.join(self.data.missing(task, split, missing[0]))}",
                where=str(self.data.root),
                hint=f"get them: {task.fetch}\n  or evaluate what is there, in the study file: languages: available",
            )
        for lang in missing:
            self._leave_out(name, split, lang, "no file")
        for lang in () if isinstance(wish, str) else (lang for lang in wish if lang not in task.languages):
            self._leave_out(name, split, lang, "not one of its languages")
        found = [lang for lang in wanted if lang in there]
        if wish == "with_gold":
            for lang in [lang for lang in found if not self._has_gold(task, split, lang)]:
                self._leave_out(name, split, lang, "no gold")
                found.remove(lang)
        return tuple(found)

    def _leave_out(self, target: str, split: str, language: str, reason: str) -> None:
        key = {"target": target, "split": split, "language": language, "reason": reason}
        self.left_out[target, f"{split}-{language}"] = key

    def _has_gold(self, task: Task, split: str, language: str) -> bool:
        if self.data.gold_files(task, split, language):
            return True
        first = next(iter(task.read(self.data.files(task, split, language), language)), None)
        return first is not None and task.type.gold(first) is not None

    def _find_overlaps(self, rows_of: str) -> list[dict[str, Any]]:
        """Test files in the source language whose rows must not be trained on: same shape, any target of the study.

        In XTREME's order, whatever the study's: the order in which targets are listed must not change a key.
        """
        found, order = [], [t.name for t in targets()]
        for target in sorted(map(load, self.study.targets), key=lambda t: ([*order, t.name].index(t.name), t.name)):
            same = type(target.type) is type(load(rows_of).type)
            if same and self.data.files(target, "test", self.study.source):
                found.append({"task": target.name, **self._entries(target.name, "test", self.study.source, False)})
        return found

    def _needed(self, task: Task, split: str, language: str) -> dict[str, Any]:
        if not self.data.files(task, split, language):
            raise DataError(
                f"{task.name} has no {language} {split} files; looked for "
                f"{' or '.join(self.data.missing(task, split, language))}",
                where=str(self.data.root),
                hint=f"get them: {task.fetch}\n  or point the study at a stand-in: data: {{files: "
                f"{{{task.name}.{split}: FILE}}}}",
            )
        return self._entries(task.name, split, language, True)

    def _read_entries(self, task: str, split: str, language: str, gold: bool) -> dict[str, Any]:
        """Names and digests of the files of one split and language; identity is content, never the place."""
        texts = self.data.files(load(task), split, language)
        if not gold and load(task).group == "retrieval":
            texts = texts[:2]  # BUCC's third file is its gold: mining must not depend on it
        entries = {"files": [self._entry(p) for p in texts]}
        if gold:
            entries["gold"] = [self._entry(p) for p in self.data.gold_files(load(task), split, language)]
        return entries

    def _entry(self, path: Path) -> FileEntry:
        sha256 = self.digest(path)
        self.files[sha256] = str(path)
        return {"name": path.name, "sha256": sha256}

    def _add(self, kind: str, spec: dict[str, Any], parents: dict[str, str], labels: dict[str, Any]) -> Node:
        used = [spec, spec.get("dev", {}), *spec.get("overlap", ())]
        outside = {u["task"]: digest for u in used if "task" in u and (digest := outside_digest(u["task"]))}
        if outside:
            spec = {**spec, "task_files": outside}
        node = Node(kind, spec, dict(parents), labels)
        return self.nodes.setdefault(node.key, node)


@cache
def _tokenizers() -> str:
    """Major and minor version of the tokenizers library: another one may cut words differently."""
    return ".".join(version("tokenizers").split(".")[:2])
