"""From a study to its nodes.

pretrain, prune (where asked for) -> train or mix (intermediate) -> train (target) -> predict -> score, and for retrieval:
retrieve -> calibrate -> score. Measurements follow from all of these. Whatever can change a result is in a spec; what people
call things is in labels; where files lie is beside the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xstilts.errors import StudyError
from xstilts.graph.node import Graph, Node
from xstilts.hyperparameters import MASKED_LM, MASKED_LM_TRAINING, Encoding, MaskedLM, Mixture, Training
from xstilts.model_source import ModelSource
from xstilts.naming import check_names
from xstilts.plan.checkpoints import checkpoints_of, kept_spec
from xstilts.plan.checks import check_lora, check_repeats
from xstilts.plan.measured import Answering, Place, measurement_spec
from xstilts.plan.plan import Cell, Checkpoint, Measured, Plan
from xstilts.plan.starts import Start, Starts, tokenizers_version
from xstilts.plan.texts import decoding_of, learning_spec, text_specs, text_training
from xstilts.study import Arm, Study
from xstilts.study_files import StudyFiles
from xstilts.task_types import Retrieval
from xstilts.tasks import load, outside_digest
from xstilts.tasks.folder import DataFolder
from xstilts.tasks.task import Task

FIXED_LAYER_SHARE = 14 / 24
"""The layer of jiant and of XTREME's Tatoeba script for 24-layer models, as a share (FACTS 2.4)."""


def make_plan(
    study: Study,
    data: DataFolder,
    models: Iterable[ModelSource],
    *,
    precision: str,
    digest: Callable[[Path], str],
    device: Mapping[str, Any] | None = None,
) -> Plan:
    """Every node of ``study``.

    Args:
        study: the study file.
        data: the data folder with the study's overrides.
        models: the study's models, found.
        precision: ``fp32`` or ``bf16``, resolved for the device.
        digest: sha-256 of a file (cached by size, mtime and inode).
        device: what measurements run on (``xstilts.device.fingerprint``); needed where the study has any.

    Raises:
        MissingNameError: a task that does not exist.
        DataError: files that the study needs are not there.
    """
    check_names(study)
    return _Planner(study, StudyFiles(study, data, digest), precision, device).plan(list(models))


@dataclass
class _Planner:
    study: Study
    files: StudyFiles
    precision: str
    device: Mapping[str, Any] | None
    nodes: dict[str, Node] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    answering: dict[Place, Answering] = field(default_factory=dict)

    def plan(self, models: list[ModelSource]) -> Plan:
        starts = Starts(self.study, self.files, self.precision, self._add)
        found = {model.name: model for model in models}
        for name, model in self.study.models.items():
            start = starts.of(name, model, found)
            for arm, choice in self.study.arms.items():
                for seed in self.study.seeds:
                    self._arm(name, start, arm, choice, seed)
        check_lora(self.nodes.values(), {m.name: m.family for m in models})
        measured = tuple(self._measured())
        graph = Graph(self.study.name, tuple(self.nodes.values()))
        where = {m.identity: str(m.folder) for m in models}
        left_out = tuple(self.files.left_out.values())
        how = self.files.translated
        of = (self.study, graph, tuple(self.cells), self.files.places, where, self.precision, left_out)
        drawn = {m.name: m.random for m in models if m.random}
        drawn |= {name: f"{m.shape}, seed {m.seed}" for name, m in self.study.models.items() if m.shape}
        return Plan(*of, measured=measured, checkpoints=tuple(self.checkpoints), translated=how, random=drawn)

    def _arm(self, model: str, start: Start, arm: str, choice: Arm, seed: int) -> None:
        labels = {"model": model, "arm": arm, "seed": seed}
        if choice.learned:
            if len(choice.learned) == len(choice.tasks) == 1:
                trained = self._train(load(choice.tasks[0]), "intermediate", start, labels)
            else:
                trained = self._mix(choice, start, labels)
            start = start.then(trained)
        else:
            labels = {**labels, "seed": None}
        targets = [load(t) for t in self.study.targets]
        for target in targets:
            if target.trains_on is not None:
                self._trained_target(target, start, {**labels, "seed": seed}, seed)
        if retrieved := [t for t in targets if t.trains_on is None]:
            self._retrieved_targets(retrieved, start, labels, seed)
            for number in range(1, checkpoints_of(self.study) + 1) if choice.learned else ():
                kept = replace(start, spec={"checkpoint": number})
                self._retrieved_targets(retrieved, kept, {**labels, "checkpoint": number}, seed)

    def _trained_target(self, target: Task, start: Start, labels: dict[str, Any], seed: int) -> None:
        tuned = self._train(target, "target", start, labels)
        predictions = {}
        for split in self.files.splits(target):
            shown = {**labels, "task": target.name, "split": split}
            answered = self._answered(target, split, tuned, shown, writes_text=start.writes_text)
            predictions[split] = answered.key
            self._score(target, split, {"predictions": answered.key}, labels, seed)
        self._answers(target, labels, Answering(None, tuned.key, start.num_layers, predictions), seed)

    def _answered(self, target: Task, split: str, tuned: Node, labels: dict[str, Any], *, writes_text: bool) -> Node:
        """The predictions; of a text-to-text model the text it writes and what it says, a node on each side of the seam."""
        spec = {**self._evaluation(target, split), "rows": self.study.limits.evaluation_rows}
        if not writes_text:
            return self._add("predict", spec, {"model": tuned.key}, labels)
        written, parsed = text_specs(self.study, target, spec)
        raw = self._add("generate", written, {"model": tuned.key}, labels)
        return self._add("parse", parsed, {"raw": raw.key}, labels)

    def _retrieved_targets(self, found: list[Task], start: Start, labels: dict[str, Any], seed: int) -> None:
        every = {"layers": list(range(start.num_layers + 1)), "poolings": list(self.study.retrieval.poolings)}
        calibration = self._calibration(every, start, labels)
        for target in found:
            for split in self.files.splits(target):
                spec = {**start.spec, **self._evaluation(target, split), **every}
                roles = dict(start.parents)
                if target.type == Retrieval("mined") and split == "test":
                    if "checkpoint" in labels:
                        continue  # mined at one layer only: no curve, and the most expensive part of all
                    spec |= {"layers": "calibrated", "poolings": "calibrated"}
                    roles["calibration"] = calibration.key
                node = self._add("retrieve", spec, roles, {**labels, "task": target.name, "split": split})
                self._score(target, split, {"predictions": node.key, "calibration": calibration.key}, labels, seed)
            base, made = start.spec.get("model"), start.parents.get("model", "")
            found_here = Answering(base, made, start.num_layers, calibration=calibration.key)
            self._answers(target, labels, found_here, seed)

    def _answers(self, target: Task, labels: dict[str, Any], found: Answering, seed: int) -> None:
        """Measurements are of the first seed: other seeds have other weights in the same graph."""
        if seed == self.study.seeds[0] and "checkpoint" not in labels:
            self.answering[labels["model"], labels["arm"], target.name] = found

    def _measured(self) -> Iterator[Measured]:
        for name, of in self.study.measurements.items():
            if self.device is None:
                raise StudyError("a measurement is of one device, and none is given", where=f"measurements.{name}")
            for target in map(load, of.targets):
                languages = self.files.languages(target.name, of.split) if of.split in target.files else ()
                chosen = [lang for lang in languages if of.languages is None or lang in of.languages]
                if missing := [lang for lang in of.languages or () if lang not in chosen] or not chosen:
                    raise StudyError(
                        f"the study does not evaluate {target.name} {of.split}"
                        + (f" in {', '.join(missing)}" if isinstance(missing, list) else ""),
                        where=f"measurements.{name}.languages",
                        hint=f"it does in: {', '.join(languages) or 'no language'}",
                    )
                spec, parents = measurement_spec(self.study, of, target, self.answering, FIXED_LAYER_SHARE)
                spec |= {**self._evaluation(target, of.split, tuple(chosen)), "device": dict(self.device)}
                spec["pooling"] = self.study.retrieval.pooling if target.trains_on is None else None
                labels = {"measurement": name, "task": target.name, "split": of.split}
                node = self._add("measure", spec, parents, labels)
                yield Measured(name, target.name, of.split, node.key)

    def _calibration(self, every: dict[str, Any], start: Start, labels: dict[str, Any]) -> Node:
        """The layer and the thresholds, from all BUCC dev pairs in the data folder: whatever targets, languages and splits a
        study reports, so that the same model gets the same layer."""
        bucc, sweeps = load("bucc2018"), {}
        declared = self.study.retrieval.layer_from == "fixed"
        # With a fixed layer the dev pairs still set the thresholds of BUCC, where it is a target.
        gold = self.files.bucc_gold() if not declared or bucc.name in self.study.targets else {}
        if gold:
            spec = {**start.spec, **self._evaluation(bucc, "dev", tuple(gold)), **every}
            shown = {**labels, "task": bucc.name, "split": "dev"}
            sweeps["bucc_dev"] = self._add("retrieve", spec, start.parents, shown)
        spec = {
            "gold": gold,
            "fixed_layer": round(FIXED_LAYER_SHARE * start.num_layers),
            "pooling": self.study.retrieval.pooling,
            **({"layer_from": "fixed"} if declared else {}),
        }
        roles = {role: node.key for role, node in sweeps.items()}
        return self._add("calibrate", spec, roles, {**labels, "task": "retrieval layer"})

    def _train(self, task: Task, role: str, start: Start, labels: dict[str, Any]) -> Node:
        """Training of ``task`` from ``start`` (a base model or a parent node), on the rows of the task it trains on."""
        source = self.study.source_of(labels["arm"], role)
        learned = self._learned(task, role, source, start)
        spec = {**start.spec, **learned, "source": source, **self._trained(labels["seed"])}
        spec |= kept_spec(self.study, learned["training"]) if role == "intermediate" else {}
        if spec["training"]["selection"] == "dev":
            spec["dev"] = self._dev(task, source, start)
        return self._add("train", spec, start.parents, {**labels, "task": task.name, "role": role})

    def _mix(self, choice: Arm, start: Start, labels: dict[str, Any]) -> Node:
        """Training of several tasks that take turns, or of masked LM alone."""
        text = {MASKED_LM: self._text(choice.masked_lm, labels["arm"])} if choice.masked_lm else {}
        whole: Training
        if start.writes_text:
            whole, mixture = text_training(self.study, None, "intermediate"), choice.mixture
        elif choice.tasks:
            whole, mixture = self.study.training_of("mixture", "intermediate", Training()), choice.mixture
        else:
            whole, mixture = Training.model_validate(text[MASKED_LM]["training"]), Mixture(cap=None)
        source = self.study.source_of(labels["arm"], "intermediate")
        parts = {name: self._learned(load(name), "intermediate", source, start) for name in choice.tasks}
        if not choice.mixture.repeat:
            check_repeats(parts, str(labels["arm"]))
        if whole.selection == "dev":
            for name, part in parts.items():
                part["dev"] = self._dev(load(name), source, start)
        parts = {name: {**parts, **text}[name] for name in choice.learned}
        spec = {
            **start.spec,
            "parts": parts,
            "mixture": mixture.model_dump(mode="json", exclude={"repeat"}),
            "training": whole.in_keys(),
            "source": source,
            **self._trained(labels["seed"]),
            **kept_spec(self.study, whole.model_dump()),
        }
        shown = {**labels, "task": "+".join(parts), "role": "intermediate"}
        return self._add("mix", spec, start.parents, shown)

    def _dev(self, task: Task, source: str, start: Start) -> dict[str, Any]:
        """The rows that choose a checkpoint, and how they are answered."""
        how = {"decoding": decoding_of(self.study, task)} if start.writes_text else {}
        return {"task": task.name, **self.files.dev(task, source), **how}

    def _learned(self, task: Task, role: str, source: str, start: Start) -> dict[str, Any]:
        """The rows of one task that is learned, in one language, and how."""
        rows_of = load(str(task.trains_on))
        return {
            "task": rows_of.name,
            **self.files.needed(rows_of.name, "train", source),
            "rows": self.study.train_rows_of(task.name, role),
            **learning_spec(self.study, task, role, writes_text=start.writes_text),
            "overlap": self.files.overlaps(rows_of.name, source) if self.study.data.drop_overlap else [],
        }

    def _text(self, settings: MaskedLM, arm: str) -> dict[str, Any]:
        """The text that masked LM learns from, and how; there is no dev score to choose a checkpoint by."""
        if self.study.training.get(MASKED_LM, {}).get("selection", "last") != "last":
            raise StudyError("masked LM has no dev score to choose by", where=f"training.{MASKED_LM}.selection")
        training = self.study.training_of(MASKED_LM, "intermediate", MASKED_LM_TRAINING)
        return {
            **self.files.masked_lm(settings, f"arms.{arm}.{MASKED_LM}"),
            "settings": settings.in_keys(),
            "rows": self.study.train_rows_of(MASKED_LM, "intermediate"),
            "training": {**training.model_dump(mode="json"), "selection": "last"},
            "encoding": self.study.encoding_of(MASKED_LM, "intermediate", Encoding()).model_dump(mode="json"),
        }

    def _trained(self, seed: int) -> dict[str, Any]:
        return {"precision": self.precision, "seed": seed, "tokenizers": tokenizers_version()}

    def _score(self, target: Task, split: str, parents: dict[str, str], labels: dict[str, Any], seed: int) -> None:
        cut = self.study.limits.evaluation_rows if target.trains_on is not None else None
        spec = {"task": target.name, "split": split, "languages": self.files.gold(target.name, split), "rows": cut}
        node = self._add("score", spec, parents, {**labels, "task": target.name, "split": split})
        place = (labels["model"], labels["arm"], target.name, split, seed, node.key)
        if "checkpoint" in labels:
            self.checkpoints.append(Checkpoint(*place, number=labels["checkpoint"]))
        else:
            self.cells.append(Cell(*place))

    def _evaluation(self, target: Task, split: str, languages: tuple[str, ...] | None = None) -> dict[str, Any]:
        encoding = self.study.encoding_of(target.name, "target", target.encoding)
        return {
            "task": target.name,
            "split": split,
            "languages": self.files.rows(target.name, split, languages),
            "encoding": encoding.model_dump(mode="json"),
            "precision": self.precision,
            "tokenizers": tokenizers_version(),
        }

    def _add(self, kind: str, spec: dict[str, Any], parents: dict[str, str], labels: dict[str, Any]) -> Node:
        parts = [spec, *spec.get("parts", {}).values()]
        used = [u for part in parts for u in (part, part.get("dev", {}), *part.get("overlap", ()))]
        used += [entry for part in parts for entry in part.get("text", {}).values()]
        outside = {u["task"]: digest for u in used if "task" in u and (digest := outside_digest(u["task"]))}
        if outside:
            spec = {**spec, "task_files": outside}
        node = Node(kind, spec, dict(parents), labels)
        return self.nodes.setdefault(node.key, node)
