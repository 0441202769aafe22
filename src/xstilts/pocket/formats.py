"""Rows to the bytes of the published formats, the inverse of the readers in ``xstilts.data``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from xstilts.pocket.choices import Choice


def as_json(value: Any) -> str:
    """One JSON document."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def json_lines(rows: Iterable[dict[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(as_json(row) for row in rows)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Tab-separated columns; the world's texts hold no tab and no quote mark."""
    return "".join("\t".join(row) + "\n" for row in rows)


def word_lines(sentences: Iterable[Iterable[tuple[str, str]]]) -> str:
    """``word<TAB>tag`` lines with a blank line after each sentence."""
    return "".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) + "\n" for sentence in sentences)


def auto(sentences: Iterable[Iterable[tuple[str, str, str]]]) -> str:
    """CCGbank's ``.auto``: (word, universal tag, supertag) leaves under one node; the inner derivation is left out."""
    lines = []
    for number, sentence in enumerate(sentences):
        leaves = " ".join(f"(<L {tag} {pos} {pos} {word} {tag}>)" for word, pos, tag in sentence)
        lines.append(f"ID=pocket.{number} PARSER=GOLD NUMPARSE=1\n(<T S[dcl] 0 2> {leaves} )\n")
    return "".join(lines)


def hellaswag(choices: Sequence[Choice]) -> str:
    """HellaSwag's JSON lines."""
    return json_lines(
        {
            "ind": number,
            "ctx_a": choice.story,
            "ctx_b": choice.start,
            "ctx": f"{choice.story} {choice.start}",
            "endings": list(choice.choices),
            "label": choice.right,
        }
        for number, choice in enumerate(choices)
    )


def cosmosqa(choices: Sequence[Choice]) -> str:
    """Cosmos QA's CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "context", "question", *(f"answer{k}" for k in range(4)), "label"])
    for number, choice in enumerate(choices):
        writer.writerow([f"pocket-{number}", choice.story, choice.question, *choice.choices, choice.right])
    return out.getvalue()


def commonsense_qa(choices: Sequence[Choice]) -> str:
    """CommonsenseQA's JSON lines."""
    letters = "ABCDE"
    return json_lines(
        {
            "id": f"pocket-{number}",
            "answerKey": letters[choice.right],
            "question": {
                "stem": choice.question,
                "choices": [
                    {"label": letter, "text": text} for letter, text in zip(letters, choice.choices, strict=True)
                ],
            },
        }
        for number, choice in enumerate(choices)
    )
