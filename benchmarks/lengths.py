"""The lengths of the real rows, in sub-words: ``python -m benchmarks.lengths --data DATA --model e5-small``.

Writes ``lengths.json``, which made-up rows are drawn from. Pairs, sentences and tagged rows count special sub-words,
questions and contexts do not; nothing is cut.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.rows import LANGUAGES, LENGTHS, RealRows
from xstilts.graph.disk import digest_file
from xstilts.models.loading import load_tokenizer
from xstilts.task_types import Tokenizer


def histograms(rows: RealRows, tokenizer: Tokenizer) -> Iterator[tuple[str, dict[int, int]]]:
    """Name and length -> number of rows, shortest first."""

    def counted(texts: Sequence[object], *, special: bool = True, split: bool = False) -> dict[int, int]:
        encoded = tokenizer.encode(texts, add_special_tokens=special, is_pretokenized=split)
        return dict(sorted(Counter(len(e.ids) for e in encoded).items()))

    for split, language in (("train", "en"), *(("test", language) for language in LANGUAGES)):
        pairs = rows.pairs(split, language)
        yield f"xnli.{split}.{language}", counted([(p.first, p.second) for p in pairs])
    for language in LANGUAGES:
        yield f"udpos.test.{language}", counted([list(e.words) for e in rows.tagged(language)], split=True)
        questions = rows.questions(language)
        yield f"xquad.question.{language}", counted([q.question for q in questions], special=False)
        yield f"xquad.context.{language}", counted([q.context for q in questions], special=False)
        yield f"tatoeba.test.{language}", counted(rows.sentences(language))


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder with xnli, udpos, xquad and tatoeba")
    parser.add_argument("--model", type=Path, required=True, help="folder whose tokenizer counts")
    arguments = parser.parse_args()
    found = dict(histograms(RealRows(arguments.data), load_tokenizer(arguments.model)))
    head = {"unit": "sub-words", "tokenizer_sha256": digest_file(arguments.model / "tokenizer.json")}
    lines = [f"  {json.dumps(name)}: {json.dumps(counts)}" for name, counts in found.items()]
    text = json.dumps(head)[:-1] + ', "histograms": {\n' + ",\n".join(lines) + "\n}}\n"
    LENGTHS.write_text(text, encoding="utf-8")
    for name, counts in found.items():
        rows = sum(counts.values())
        print(f"{name:20} {rows:6} rows, mean {sum(n * c for n, c in counts.items()) / rows:.1f} sub-words")


if __name__ == "__main__":
    main()
