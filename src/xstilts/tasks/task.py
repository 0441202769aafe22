"""What a task declares about itself. Adding a task is adding one file with one ``TASK``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xstilts.hyperparameters import Encoding, Training
from xstilts.task_types import TaskType
from xstilts.task_types.cast import Cast
from xstilts.task_types.casts import default_cast

Reader = Callable[[tuple[Path, ...], str], Iterator[Any]]
"""``(files of one layout, language) -> examples``; raises ``DataError`` with ``file:line`` on a bad row."""

Metric = Callable[[Sequence[Any], Sequence[Any], str], dict[str, float]]
"""``(golds, predictions, language) -> {metric: 0..100}``; pure, no torch. A function of sums over rows is best given as an
``xstilts.metrics.additive.Additive``: then what rows give is kept with the scores, and arms get an example bootstrap."""

Mark = Literal["read", "recalled", "derived", "tested", "choice"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One dataset: its shape, files, languages, metric, defaults and papers.

    Args:
        name: XTREME's folder name for targets; snake case for intermediate tasks.
        role: where it stands in the method.
        title: as written in papers.
        type: the shape, with its labels.
        cast: how it is said in text; ``None`` for the shape's own way (``xstilts.task_types.casts``).
        group: XTREME's group; ``None`` for intermediate tasks.
        languages: XTREME's codes; ``("en",)`` for intermediate tasks.
        without_dev: those of them that have no dev rows.
        parallel: the evaluation rows of all languages are translations of one another, so their costs compare languages.
        files: for each split the alternative layouts, tried in order. A layout is a tuple of patterns that are all
            needed; ``{language}`` and ``{iso3}`` are replaced, ``*`` matches, ``.gz`` is tried too.
        read: reads the files of one layout.
        metric: golds and predictions to scores.
        main_score: the metrics whose mean is the task's score (two for question answering).
        trains_on: the task whose train split fine-tunes this one; its own name, another's, or ``None`` (retrieval).
        training, encoding: defaults, with ``marks`` saying how sure we are of each (FACTS 1.2, 2.2).
        counts: published rows by split and language.
        paper, licence, address: where it comes from; ``licence`` may be "unknown".
        fetch: the command that gets the files, or why there is none.
    """

    name: str
    role: Literal["target", "intermediate"]
    title: str
    type: TaskType
    cast: Cast | None = None
    group: Literal["classification", "tagging", "qa", "retrieval"] | None = None
    languages: tuple[str, ...] = ("en",)
    without_dev: tuple[str, ...] = ()
    parallel: bool = False
    files: Mapping[str, tuple[tuple[str, ...], ...]]
    read: Reader
    metric: Metric
    main_score: tuple[str, ...]
    trains_on: str | None
    training: Training = field(default_factory=Training)
    encoding: Encoding = field(default_factory=Encoding)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    paper: str
    licence: str
    address: str
    fetch: str
    bibtex: str = ""

    def languages_of(self, split: str) -> tuple[str, ...]:
        """The languages that are published with this split."""
        return tuple(code for code in self.languages if split != "dev" or code not in self.without_dev)

    @property
    def text_cast(self) -> Cast | None:
        """How a text-to-text model reads and answers it; ``None`` for retrieval."""
        return self.cast or default_cast(self.name, self.type)
