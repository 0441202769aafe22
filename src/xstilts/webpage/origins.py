"""Where every number comes from: its score nodes and all that they were made from, in the order in which one would ask."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xstilts.graph.node import Node
from xstilts.graph.store import Store
from xstilts.report.grid import number
from xstilts.report.results import Results
from xstilts.webpage.content import NodeLine, Origin

SHORT = 12
"""Digits of a key that people read; every verb takes them."""
_HOW = (("learning_rate", "learning rate {:g}"), ("batch_size", "batch {}"), ("epochs", "epochs {:g}"))


class Origins:
    """The blocks that the numbers of one study point to; each is made when the first number asks for it.

    Args:
        store: with the finished nodes.
        results: of the study.
        place: the store as the reader names it in a command.
        prefix: begins the ids of this study's blocks.
    """

    def __init__(self, store: Store, results: Results, place: str, prefix: str) -> None:
        self._store, self._place, self._prefix = store, shlex.quote(place), prefix
        self._nodes = results.nodes
        self._keys: dict[tuple[str, str, str, str], list[str]] = {}
        for cell in results.payload["cells"]:
            at = cell["model"], cell["arm"], cell["target"], cell["split"]
            if store.has(cell["key"]):
                self._keys.setdefault(at, []).append(cell["key"])
        self._found: dict[tuple[str, ...], Origin] = {}
        self._records: dict[str, Mapping[str, Any]] = {}

    @property
    def found(self) -> tuple[Origin, ...]:
        """The blocks that were asked for, in that order."""
        return tuple(self._found.values())

    def of_score(self, model: str, arm: str, target: str, split: str) -> str:
        """The address of the block of an arm's scores on a target; empty where there are none."""
        at = model, arm, target, split
        keys = list(dict.fromkeys(self._keys.get(at, ())))
        return self.of_nodes(at, f"{arm} on {target}, {split} ({model})", keys) if keys else ""

    def of_mean(self, model: str, arm: str, column: str, split: str, targets: Sequence[str]) -> str:
        """The address of the block of a mean over targets: it names the numbers that it is of."""
        return self.of_chosen(model, arm, column, split, dict.fromkeys(targets, arm))

    def of_chosen(self, model: str, name: str, column: str, split: str, arms: Mapping[str, str]) -> str:
        """The same where each target has an arm of its own."""
        at = model, name, split, column, "mean"
        if at not in self._found:
            parts = [(f"{arm} on {target}", self.of_score(model, arm, target, split)) for target, arm in arms.items()]
            title = f"{name}, {column}, {split} ({model}): made from"
            self._found[at] = Origin(self._id(), title, parts=tuple(part for part in parts if part[1]))
        return f"#{self._found[at].id}"

    def of_nodes(self, at: tuple[str, ...], title: str, keys: Sequence[str]) -> str:
        """The address of the block of these nodes and of what they were made from."""
        if at not in self._found:
            lines = list(self._ancestry(keys))
            commands = tuple(f"xstilts why {key[:SHORT]} --store {self._place}" for key in keys)
            software = dict.fromkeys(text for key, _ in lines if (text := _software(self._attempt(key))))
            nodes = tuple(line for _, line in lines)
            self._found[at] = Origin(self._id(), title, nodes, commands, tuple(software))
        return f"#{self._found[at].id}"

    def _id(self) -> str:
        return f"{self._prefix}-o{len(self._found) + 1}"

    def _ancestry(self, keys: Sequence[str]) -> Iterator[tuple[str, NodeLine]]:
        """Nearest first, each once."""
        level, seen = list(keys), set(keys)
        while level:
            for key in level:
                if key in self._nodes:
                    yield key, self._line(self._nodes[key])
            parents = [p for key in level if key in self._nodes for p in self._nodes[key].parents.values()]
            level = [parent for parent in dict.fromkeys(parents) if parent not in seen]
            seen.update(level)

    def _line(self, node: Node) -> NodeLine:
        attempt = self._attempt(node.key)
        threads = f", {attempt['threads']} threads" if attempt.get("threads", 1) != 1 else ""
        seconds = attempt.get("seconds")
        return NodeLine(
            kind=node.kind,
            what=", ".join([node.title.removeprefix(f"{node.kind} "), *_how(node, attempt)]),
            key=node.key,
            parents=tuple(parent[:SHORT] for parent in (*node.parents.values(), *_base_model(node))),
            version=node.code_version,
            where=f"{attempt['device']}{threads}" if "device" in attempt else "",
            seconds=number(seconds) if isinstance(seconds, int | float) else "",
            finished=str(attempt.get("finished", ""))[:16].replace("T", " "),
        )

    def _attempt(self, key: str) -> Mapping[str, Any]:
        if key not in self._records:
            self._records[key] = self._store.record(key)["attempt"] if self._store.has(key) else {}
        return self._records[key]


def _base_model(node: Node) -> tuple[str, ...]:
    """The identity of a model that no node made."""
    identity = node.spec.get("model")
    return (identity,) if isinstance(identity, str) else ()


def _how(node: Node, attempt: Mapping[str, Any]) -> Iterator[str]:
    """What of a spec a reader asks for first."""
    rows, training = attempt.get("rows_trained_on"), node.spec.get("training")
    if rows is not None:
        yield f"{rows:,} rows"
    if isinstance(training, Mapping):
        for name, words in _HOW:
            if training.get(name) is not None:
                yield words.format(training[name])
        if training.get("max_steps"):
            yield f"at most {training['max_steps']:,} steps"
    if precision := node.spec.get("precision"):
        yield str(precision)


def _software(attempt: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in attempt.get("versions", {}).items())
