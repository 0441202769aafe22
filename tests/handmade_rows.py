"""A few hand-made rows for each task, and a tokenizer made on the spot."""

from __future__ import annotations

import json

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, pre_tokenizers, processors

from xstilts.task_types import Tokenizer

WORDS = "Rome\tB-LOC\nis\tO\n\nAnna\tB-PER\nBell\tI-PER\n"
TAGS = "Rome\tPROPN\nis\tAUX\n\nAnna\tPROPN\nBell\tPROPN\n"
AUTO = "ID=1\n(<T S 0 2> (<L N NN NN Rome N>) (<L S\\N VB VB is S\\N>) )\n"
NLI = "\n".join(
    json.dumps({"gold_label": label, "sentence1": f"a {label}", "sentence2": "b"})
    for label in ("neutral", "entailment")
)
ANLI = json.dumps({"context": "c", "hypothesis": "h", "label": "c"})


def _squad(*answers: str) -> str:
    context = "Anna lives in Rome, near the river."
    questions = [
        {
            "id": f"q{k}",
            "question": f"question {k}?",
            "answers": [{"text": text, "answer_start": context.index(text)}] if text else [],
            "is_impossible": not text,
        }
        for k, text in enumerate(answers)
    ]
    return json.dumps({"version": "1", "data": [{"paragraphs": [{"context": context, "qas": questions}]}]})


def _choices(letters: str) -> list[dict[str, str]]:
    return [{"label": letter, "text": f"choice {letter}"} for letter in letters]


FILES = {
    "xnli/train-en.tsv": "a\tb\tneutral\nc\td\tentailment\n",
    "xnli/dev-en.tsv": "a\tb\tneutral\nc\td\tentailment\n",
    "xnli/test-de.tsv": "a\tb\nc\td\n",
    "labels/xnli/test-de.tsv": "neutral\ncontradiction\n",
    "pawsx/dev-en.tsv": "a\tb\t1\nc\td\t0\n",
    "udpos/dev-en.tsv": TAGS,
    "panx/dev-en.tsv": WORDS,
    "xquad/xquad.en.json": _squad("Rome", "the river"),
    "mlqa/MLQA_V1/dev/dev-context-en-question-en.json": _squad("Rome", "Anna"),
    "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json": _squad("Rome", "Anna"),
    "bucc2018/de-en.dev.de": "de-1\teins\nde-2\tzwei\n",
    "bucc2018/de-en.dev.en": "en-1\tone\nen-2\ttwo\n",
    "bucc2018/de-en.dev.gold": "de-1\ten-1\nde-2\ten-2\n",
    "LASER/data/tatoeba/v1/tatoeba.deu-eng.deu": "eins\nzwei\n",
    "LASER/data/tatoeba/v1/tatoeba.deu-eng.eng": "one\ntwo\n",
    "multinli_1.0/multinli_1.0_train.jsonl": NLI,
    "snli_1.0/snli_1.0_train.jsonl": NLI,
    "anli_v0.1/R1/train.jsonl": ANLI,
    "anli_v0.1/R2/train.jsonl": ANLI,
    "anli_v0.1/R3/train.jsonl": ANLI,
    "QQP/dev.tsv": "id\tquestion1\tquestion2\tis_duplicate\n1\ta\tb\t1\n2\tc\td\t0\n",
    "squad/dev-v2.0.json": _squad("Rome", ""),
    "squad/train-v1.1.json": _squad("Rome", "Anna"),
    "hellaswag/hellaswag_val.jsonl": json.dumps({"ctx_a": "p", "ctx_b": "he", "endings": list("abcd"), "label": 2}),
    "ccg/wsj_0001.auto": AUTO,
    "cosmosqa/valid.csv": "id,context,question,answer0,answer1,answer2,answer3,label\n1,x,q,a,b,c,d,3\n",
    "commonsense_qa/dev_rand_split.jsonl": json.dumps(
        {"answerKey": "B", "question": {"stem": "s", "choices": _choices("ABCDE")}}
    ),
}


def character_tokenizer() -> Tokenizer:
    """A tokenizer whose sub-words are single characters."""
    pieces = [chr(k) for k in range(33, 127)]
    names = ["[UNK]", "[CLS]", "[SEP]", *pieces, *(f"##{piece}" for piece in pieces)]
    rust = RustTokenizer(models.WordPiece({name: k for k, name in enumerate(names)}, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return Tokenizer(rust, unknown_id=0)
