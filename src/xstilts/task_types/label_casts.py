"""Labels and choices as text: a short word or a digit. XNLI and PAWS-X as mT5 has them (FACTS 6.4), the rest is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from xstilts.errors import ModelError
from xstilts.task_types.cast import UNPARSABLE, Rendered
from xstilts.task_types.classification import PairExample
from xstilts.task_types.multiple_choice import ChoiceExample


@dataclass(frozen=True)
class LabelCast:
    """``xnli: premise: P hypothesis: H`` -> ``0``.

    Args:
        prefix: names the task, with its own punctuation.
        fields: the names of the two texts; the second is left away with its text.
        labels: of the task.
        targets: the text of each label.
    """

    name: ClassVar[str] = "label"
    prefix: str
    fields: tuple[str, str]
    labels: tuple[str, ...]
    targets: tuple[str, ...]

    def render(self, example: PairExample) -> Rendered:
        """Both texts by name; the target is the label's text."""
        texts = zip(self.fields, (example.first, example.second), strict=True)
        inputs = " ".join([self.prefix, *(f"{name}: {text}" for name, text in texts if text is not None)])
        if example.label is None:
            return Rendered(inputs, None)
        if example.label not in self.labels:
            raise ModelError(
                f"label {example.label!r} of row {example.id!r} has no text",
                hint=f"there is one for: {', '.join(self.labels)}",
            )
        return Rendered(inputs, self.targets[self.labels.index(example.label)])

    def parse(self, example: PairExample, text: str) -> dict[str, Any]:
        """The label whose text it is, to the letter but for space around it."""
        known = dict(zip(self.targets, self.labels, strict=True))
        label = known.get(text.strip(), UNPARSABLE)
        return {"id": example.id, "label": label, "flaws": [UNPARSABLE] * (label == UNPARSABLE)}


@dataclass(frozen=True)
class ChoiceCast:
    """``hellaswag: prompt: P choice0: A choice1: B ...`` -> ``1``: the number of the right choice. Our own."""

    name: ClassVar[str] = "choice"
    prefix: str
    num_choices: int

    @property
    def targets(self) -> tuple[str, ...]:
        """The numbers of the choices, from 0."""
        return tuple(str(number) for number in range(self.num_choices))

    def render(self, example: ChoiceExample) -> Rendered:
        """All choices in one text; the target is the number of the right one."""
        choices = " ".join(f"choice{number}: {text}" for number, text in enumerate(example.choices))
        target = None if example.label is None else str(example.label)
        return Rendered(f"{self.prefix} prompt: {example.prompt} {choices}", target)

    def parse(self, example: ChoiceExample, text: str) -> dict[str, Any]:
        """The number; -1, which is no choice, where there is none."""
        text = text.strip()
        right = text in self.targets
        return {"id": example.id, "choice": int(text) if right else -1, "flaws": [] if right else [UNPARSABLE]}
