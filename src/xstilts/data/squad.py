"""SQuAD's JSON, v1.1 and v2.0, in which XQuAD, MLQA and TyDiQA-GoldP are published too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xstilts.data.files import load_json, place, require, require_list, require_text
from xstilts.errors import DataError
from xstilts.languages import LANGUAGES
from xstilts.task_types import Answer, SpanExample

_LANGUAGE_NAMES = {language.name.lower(): language.code for language in LANGUAGES.values()}


def read_squad(paths: Sequence[Path], language: str) -> Iterator[SpanExample]:
    """Questions in the order of the file. ``answers``: ``()`` if ``is_impossible``; ``None`` if the gold is missing.

    Gold is missing where there are no answers, or only empty ones, as XTREME's script leaves in test files. A repeated
    id (XTREME's TyDiQA train files) gets ``#2``, ``#3`` ... In TyDiQA's files of all languages, whose ids start with the
    language's name, only the questions of ``language`` are read. In XTREME's translations
    (``squad.translate.train.en-de.json``) questions whose answer was lost are left out; `data check` counts them.

    Raises:
        DataError: damaged JSON, a missing key, a value of another type, an answer that is not in the context at its
            ``answer_start``.
    """
    seen: Counter[str] = Counter()
    for path in paths:
        for context, question in _questions(path):
            identity = str(require(question, "id", path, None))
            if id_language(identity) not in (None, language) and not _is_translated(path):
                continue
            seen[identity] += 1
            unique = identity if seen[identity] == 1 else f"{identity}#{seen[identity]}"
            text = require_text(question, "question", path, None)
            yield SpanExample(unique, text, context, _answers(question, context, path, identity))


def question_ids(path: Path) -> Iterator[str]:
    """The ids as they stand in the file."""
    for _, question in _questions(path):
        yield str(require(question, "id", path, None))


def id_language(identity: str) -> str | None:
    """The language that a TyDiQA id starts with (``finnish-123-0``), or ``None``."""
    return _LANGUAGE_NAMES.get(identity.partition("-")[0]) if "-" in identity else None


def lost_answers(path: Path) -> int:
    """How many questions of one of XTREME's files of translations have an answer that is not where it should be."""
    return sum(_lost(*found) for found in _written(path)) if _is_translated(path) else 0


def _is_translated(path: Path) -> bool:
    return ".translate." in path.name


def _lost(context: str, question: dict[str, Any]) -> bool:
    """Whether an answer is not in its context: XTREME's translations have such (read in two programs that skip them)."""
    if not isinstance(question, dict) or question.get("is_impossible"):
        return False
    answers = question.get("answers")
    found = [a for a in answers if isinstance(a, dict) and a.get("text")] if isinstance(answers, list) else []
    at = [(a["text"], a.get("answer_start")) for a in found]
    return not at or any(
        not (isinstance(text, str) and isinstance(k, int) and k >= 0 and context[k : k + len(text)] == text)
        for text, k in at
    )


def _questions(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if _is_translated(path):
        return (found for found in _written(path) if not _lost(*found))
    return _written(path)


def _written(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for article in require_list(load_json(path), "data", path, None):
        for paragraph in require_list(article, "paragraphs", path, None):
            context = require_text(paragraph, "context", path, None)
            for question in require_list(paragraph, "qas", path, None):
                yield context, question


def _answers(question: dict[str, Any], context: str, path: Path, identity: str) -> tuple[Answer, ...] | None:
    if question.get("is_impossible"):
        return ()
    answers = []
    for answer in require_list(question, "answers", path, None) if question.get("answers") else ():
        text, start = require_text(answer, "text", path, None), require(answer, "answer_start", path, None)
        if text and (not isinstance(start, int) or context[start : start + len(text)] != text):
            raise DataError(
                f"answer {text!r} of question {identity!r} is not at character {start} of its context",
                where=place(path),
            )
        if text:
            answers.append(Answer(text, start))
    return tuple(answers) or None
