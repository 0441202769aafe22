"""The shapes of tasks: how examples become sub-words, and how a model's outputs become answers. No torch here."""

from xstilts.task_types.base import Features, Head, TaskType, Tokenizer
from xstilts.task_types.classification import Classification, PairExample
from xstilts.task_types.multiple_choice import ChoiceExample, MultipleChoice
from xstilts.task_types.retrieval import Bitext, Retrieval
from xstilts.task_types.span import Answer, Span, SpanExample
from xstilts.task_types.tagging import Tagging, TaggingExample

__all__ = [
    "Answer",
    "Bitext",
    "ChoiceExample",
    "Classification",
    "Features",
    "Head",
    "MultipleChoice",
    "PairExample",
    "Retrieval",
    "Span",
    "SpanExample",
    "Tagging",
    "TaggingExample",
    "TaskType",
    "Tokenizer",
]
