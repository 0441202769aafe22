"""The published numbers: ``numbers.toml`` read into plain values, each with its mark, source and protocol."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from xstilts.errors import DataError
from xstilts.tasks import intermediate, load

FILE = Path(__file__).parent / "numbers.toml"
JIANT = "read (jiant, not the paper)"
"""What its authors' public scripts say, two years later; the paper's own settings could not be read."""
MARKS = ("read", JIANT, "read-2nd", "recalled", "recalled*", "derived", "tested", "reasoned")
AVERAGE = "average"
"""What stands for the mean over the nine targets in place of a target."""
PAPER_MODEL = "xlm-r-large"
"""The paper's model: what a model of ours that nobody published is compared with."""


@dataclass(frozen=True)
class Number:
    """One printed number.

    Args:
        model, arm: what was scored; the arm is ``none``, an intermediate task, ``multitask`` (all nine) or
            ``best-per-target``.
        target: a target task, or ``AVERAGE``.
        metric: as the target's scorer names it; empty for an average.
        language: a code, or ``None`` for the mean over the target's languages.
        value: 0..100, or a change in points.
        unit: ``score``, or ``change`` against the baseline arm of the same protocol.
    """

    model: str
    arm: str
    target: str
    metric: str
    language: str | None
    split: str
    value: float
    unit: Literal["score", "change"]
    protocol: str
    mark: str
    source: str

    @property
    def own_split(self) -> str:
        """The split of ours that it is about: targets without dev rows have their printed dev numbers from test rows."""
        return self.split if self.target == AVERAGE or self.split in load(self.target).files else "test"

    @property
    def text(self) -> str:
        """``57.3``, or with a sign where it is a change."""
        return f"{self.value:+.1f}" if self.unit == "change" else f"{self.value:.1f}"


@dataclass(frozen=True)
class Setting:
    """One thing a protocol says of itself: any of ``values`` was used.

    Where two sources say it, both marks stand there, in the order of the values.
    """

    values: tuple[Any, ...]
    mark: str
    source: str


@dataclass(frozen=True)
class Effect:
    """By how many points a difference in ``setting`` is known to have moved a number of ``target``."""

    setting: str
    target: str
    points: float
    mark: str
    source: str
    why: str


@dataclass(frozen=True)
class Model:
    """A model with published numbers; ``names`` are hub ids and folder names, ``layers`` are 0 where not known."""

    title: str
    names: tuple[str, ...]
    layers: int


@dataclass(frozen=True)
class Published:
    """Everything in the file; ``settings`` by protocol and by target, arm, or ``""`` for what holds for all."""

    sources: Mapping[str, str]
    models: Mapping[str, Model]
    protocols: Mapping[str, str]
    settings: Mapping[tuple[str, str], Mapping[str, Setting]]
    numbers: tuple[Number, ...]
    effects: tuple[Effect, ...]

    def model_of(self, *names: str | None) -> str | None:
        """The published model that one of these hub ids or folders names; ``None`` if none does.

        A hub cache's folder names the id as ``models--OWNER--NAME``.
        """
        said = {part for name in names if name for part in (name, *_folder_names(name))}
        return next((key for key, model in self.models.items() if said & {key, *model.names}), None)

    def effect(self, setting: str, target: str) -> Effect | None:
        """What is known of a setting's size on a target."""
        return next((e for e in self.effects if (e.setting, e.target) == (setting, target)), None)

    def find(self, arm: str, target: str, *, unit: str = "change", model: str = PAPER_MODEL) -> list[Number]:
        """The numbers of one arm and target over all languages, in the file's order."""
        return [
            n
            for n in self.numbers
            if (n.model, n.arm, n.target, n.unit, n.language) == (model, arm, target, unit, None)
        ]


@cache
def load_published(path: Path = FILE) -> Published:
    """Read the file of published numbers.

    Raises:
        DataError: a name, a mark or a source that is not declared; the file and the entry are named.
    """
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    models = {
        key: Model(of["title"], tuple(of.get("names", ())), of.get("layers", 0)) for key, of in raw["models"].items()
    }
    settings: dict[tuple[str, str], dict[str, Setting]] = {}
    for key, of in raw["protocols"].items():
        for block in of.get("settings", ()):
            _check(path, raw, block, f"protocols.{key}")
            fields = {k: v for k, v in block.items() if k not in ("targets", "arms", "mark", "source")}
            for of_what in block.get("targets", block.get("arms", ("",))):
                found = settings.setdefault((key, of_what), {})
                for name, value in fields.items():
                    values = tuple(value) if isinstance(value, list) else (value,)
                    said = Setting(values, block["mark"], block["source"])
                    found[name] = _both(found[name], said) if name in found else said
    numbers = tuple(number for entry in raw["series"] for number in _numbers(path, raw, entry))
    effects = []
    for entry in raw["effects"]:
        _check(path, raw, entry, f"effects.{entry['setting']}")
        effects += [
            Effect(entry["setting"], t, entry["points"], entry["mark"], " and ".join(_sources(entry)), entry["why"])
            for t in entry["targets"]
        ]
    protocols = {key: of["title"] for key, of in raw["protocols"].items()}
    return Published(raw["sources"], models, protocols, settings, numbers, tuple(effects))


def arm_name(tasks: tuple[str, ...]) -> str | None:
    """What the papers call an arm with these intermediate tasks; ``None`` if nobody printed such an arm."""
    if not tasks:
        return "none"
    if len(tasks) == 1:
        return tasks[0]
    return "multitask" if set(tasks) == {task.name for task in intermediate()} else None


def _numbers(path: Path, raw: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[Number]:
    where = f"series {entry['model']}/{entry['arm']}"
    _check(path, raw, entry, where)
    for kind, known in (("model", raw["models"]), ("protocol", raw["protocols"])):
        if entry[kind] not in known:
            raise DataError(f"{where}: the {kind} {entry[kind]!r} is not declared", where=str(path))
    only = entry.get("by_language")
    for name, value in entry["values"].items():
        target, language = (name, None) if only is None else (only, name)
        main = () if target == AVERAGE else load(target).main_score
        if not isinstance(value, dict) and len(main) > 1:
            raise DataError(f"{where}: {target} has {len(main)} metrics: say which", where=str(path))
        values = value if isinstance(value, dict) else {main[0] if main else "": value}
        for metric, number in values.items():
            yield Number(
                entry["model"],
                entry["arm"],
                target,
                metric,
                language,
                entry["split"],
                float(number),
                entry.get("unit", "score"),
                entry["protocol"],
                entry["mark"],
                entry["source"],
            )


def _check(path: Path, raw: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> None:
    if entry["mark"] not in MARKS:
        raise DataError(f"{where}: unknown mark {entry['mark']!r}; known: {', '.join(MARKS)}", where=str(path))
    for source in _sources(entry):
        if source not in raw["sources"]:
            raise DataError(f"{where}: the source {source!r} is not declared", where=str(path))


def _sources(entry: Mapping[str, Any]) -> list[str]:
    return [entry["source"]] if isinstance(entry["source"], str) else list(entry["source"])


def _both(one: Setting, other: Setting) -> Setting:
    values = tuple(dict.fromkeys((*one.values, *other.values)))
    return Setting(values, f"{one.mark} or {other.mark}", f"{one.source} or {other.source}")


def _folder_names(name: str) -> Iterator[str]:
    for part in Path(name).parts:
        yield part
        if part.startswith("models--"):
            yield part.removeprefix("models--").replace("--", "/")
