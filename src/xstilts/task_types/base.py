"""What every shape of task shares: features (sequences and the positions a head reads) and the tokenizer seen from here.

Lists, plans and scores of finished predictions only read what a task is: NumPy and the tokenizers library, slow to import,
are loaded where arrays are made.

Shape legend: T tokens of all sequences end to end; N sequences; R positions read by the head; C outputs of the head.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

from xstilts.hyperparameters import Encoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding as SubwordEncoding
    from tokenizers import Tokenizer as RustTokenizer

IntArray: TypeAlias = "NDArray[np.int64]"
FloatArray: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True)
class Head:
    """The head a shape needs.

    ``pooled`` is dense, tanh, linear on the first token; ``token`` linear on positions; ``masked_lm`` a vocabulary on
    positions.
    """

    kind: Literal["pooled", "token", "masked_lm"]
    num_outputs: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features:
    """Every sequence of a set of examples, end to end, and where a head reads.

    Sequence ``i`` is ``input_ids[offsets[i]:offsets[i + 1]]``. It belongs to example ``example[i]``; the sequences of
    one example stand next to each other. The head reads positions ``read[read_offsets[i]:read_offsets[i + 1]]``, counted
    from the start of the sequence. ``targets`` holds what each shape trains on: one row per read position, per sequence or
    per example, ``None`` when any gold is missing.
    """

    input_ids: NDArray[np.int32]  # T
    type_ids: NDArray[np.int8]  # T
    offsets: IntArray  # N + 1
    example: IntArray  # N
    read: IntArray  # R
    read_offsets: IntArray  # N + 1
    targets: IntArray | None = None
    context_offsets: NDArray[np.int32] | None = None  # R x 2: characters of the context (spans only)
    num_examples: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # windows, dropped_tokens, ... : shown with every result

    @property
    def num_sequences(self) -> int:
        """N."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Sub-words of each sequence, N."""
        return self.offsets[1:] - self.offsets[:-1]


class FeatureBuilder:
    """Collects sequences one by one and ends in ``Features``."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.types: list[int] = []
        self.offsets, self.read_offsets = [0], [0]
        self.example: list[int] = []
        self.read: list[int] = []
        self.counts: dict[str, int] = {"windows": 0, "dropped_tokens": 0, "truncated_examples": 0}

    def add(self, example: int, ids: Sequence[int], types: Sequence[int], read: Iterable[int]) -> None:
        """Append one sequence of ``example`` whose head reads at ``read``."""
        self.ids.extend(ids)
        self.types.extend(types)
        self.read.extend(read)
        self.offsets.append(len(self.ids))
        self.read_offsets.append(len(self.read))
        self.example.append(example)
        self.counts["windows"] += 1

    def build(
        self,
        num_examples: int,
        targets: Sequence[Any] | None,
        context_offsets: Sequence[tuple[int, int]] | None = None,
    ) -> Features:
        """The collected sequences as arrays."""
        import numpy as np

        return Features(
            input_ids=np.asarray(self.ids, np.int32),
            type_ids=np.asarray(self.types, np.int8),
            offsets=np.asarray(self.offsets, np.int64),
            example=np.asarray(self.example, np.int64),
            read=np.asarray(self.read, np.int64),
            read_offsets=np.asarray(self.read_offsets, np.int64),
            targets=None if targets is None else np.asarray(targets, np.int64),
            context_offsets=None if context_offsets is None else np.asarray(context_offsets, np.int32).reshape(-1, 2),
            num_examples=num_examples,
            counts=self.counts,
        )


class Tokenizer:
    """A fast tokenizer and the few things encoding needs to know of it.

    Args:
        rust: the tokenizer; its truncation and padding are switched off here.
        unknown_id: the id that stands for a word without sub-words.
        mask_id: the id masked-LM uses; ``None`` if the model has none.
    """

    def __init__(self, rust: RustTokenizer, *, unknown_id: int, mask_id: int | None = None) -> None:
        rust.no_padding()
        rust.no_truncation()
        self.rust, self.unknown_id, self.mask_id = rust, unknown_id, mask_id
        around = rust.encode("a")
        special = around.special_tokens_mask
        first, last = special.index(0), len(special) - special[::-1].index(0)
        self.prefix_ids, self.suffix_ids = around.ids[:first], around.ids[last:]

    def encode(self, texts: Sequence[Any], **options: Any) -> list[SubwordEncoding]:
        """Sub-words of texts, or of pairs of texts, with special tokens unless ``add_special_tokens=False``."""
        return self.rust.encode_batch(list(texts), **options)


class TaskType(Protocol):
    """A shape of task: encode, decode, and what counts as the same example.

    Implementations are frozen dataclasses whose fields are the labels. ``Example`` types have an ``id`` and gold fields
    that are ``None`` when the gold is missing.
    """

    name: ClassVar[str]

    @property
    def head(self) -> Head | None:
        """The head that must be trained; ``None`` for retrieval."""

    def encode(self, examples: Sequence[Any], tokenizer: Tokenizer, encoding: Encoding) -> Features:
        """Examples to features; targets are there when every example has gold."""

    def decode(self, examples: Sequence[Any], features: Features, logits: FloatArray, encoding: Encoding) -> list[Any]:
        """Logits (R x C) to one scored output a example: the rows of the predictions file."""

    def gold(self, example: Any) -> Any:
        """The gold in the form the metric takes, or ``None``."""

    def answer(self, output: dict[str, Any]) -> Any:
        """The prediction in the form the metric takes, from one row of the predictions file."""

    def fingerprint(self, example: Any) -> Hashable:
        """Equal for examples that share the text which must not be in both training and test rows."""
