"""Readers of rows, of text, of study files and of submissions, each with small valid files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from trying import Reader

from handmade_rows import FILES, character_tokenizer
from xstilts.checking import check_folder
from xstilts.data.shared import languages_in
from xstilts.data.text import read_text, read_translations
from xstilts.data.translated import origin
from xstilts.hyperparameters import Encoding
from xstilts.journey import RECIPES, read_study
from xstilts.naming import check_names
from xstilts.own_text.reading import format_of, lines, opened, read_rows
from xstilts.own_text.rows import COLUMNS, form_for
from xstilts.pocket.identity import read_made
from xstilts.scoring import read_rows as read_predictions
from xstilts.submission import score_submission
from xstilts.task_types import Classification, MultipleChoice, Span, Tagging
from xstilts.tasks import load, names, targets
from xstilts.tasks.folder import DataFolder, read_examples

ENCODING = Encoding(max_length=64, stride=8, max_question_length=16)
CHARACTERS = character_tokenizer()
WORD = "{0}\t{1}\t_\t{2}\t_\t_\t{3}\t_\t_\t_\n"
CONLLU = (
    "# text = zum Haus\n1-2\tzum" + "\t_" * 8 + "\n" + WORD.format(1, "zu", "ADP", 3) + WORD.format(2, "dem", "DET", 3)
)
CONLLU += WORD.format(3, "Haus", "NOUN", 0) + "3.1\tx" + "\t_" * 8 + "\n\n" + WORD.format(1, "Ja", "INTJ", 0) + "\n"
XNLI = "language\tgold_label\tsentence1\tsentence2\nen\tneutral\ta\tb\nde\tentailment\tc\td\nde\tcontradiction\te\tf\n"
SNLI = "gold_label\tsentence1\tsentence2\tlabel1\n-\ta\tb\tneutral\nneutral\tc\td\tneutral\nentailment\te\tf\tneutral\n"
FIVE = 'a\tb\tc\td\tneutral\ne\tf\tg\t"h\tentailment\n'
SQUAD = FILES["squad/dev-v2.0.json"]

# name -> task, language, files, gold
TABLES: dict[str, tuple[str, str, dict[str, str | bytes], dict[str, str]]] = {
    "xtreme pairs": ("xnli", "en", {"dev-en.tsv": FILES["xnli/dev-en.tsv"]}, {}),
    "labels apart": (
        "xnli",
        "de",
        {"test-de.tsv": FILES["xnli/test-de.tsv"]},
        {"gold.tsv": FILES["labels/xnli/test-de.tsv"]},
    ),
    "all languages in one table": ("xnli", "de", {"xnli.dev.tsv": XNLI}, {}),
    "table with a header": ("mnli", "en", {"snli.txt": SNLI}, {}),
    "translated pairs": ("xnli", "de", {"en-de-translated.tsv": FIVE}, {}),
    "MultiNLI": ("mnli", "en", {"m.jsonl": FILES["multinli_1.0/multinli_1.0_train.jsonl"]}, {}),
    "ANLI": ("anli_plus", "en", {"train.jsonl": FILES["anli_v0.1/R1/train.jsonl"] + "\n"}, {}),
    "QQP": ("qqp", "en", {"dev.tsv": FILES["QQP/dev.tsv"]}, {}),
    "PAWS-X": ("pawsx", "en", {"dev-en.tsv": FILES["pawsx/dev-en.tsv"]}, {}),
    "packed table": ("pawsx", "en", {"dev-en.tsv.gz": gzip.compress(FILES["pawsx/dev-en.tsv"].encode() * 20)}, {}),
    "tags": ("udpos", "en", {"dev-en.tsv": FILES["udpos/dev-en.tsv"]}, {}),
    "tags apart": ("udpos", "en", {"test-en.tsv": "Rome\nis\n\nAnna\n"}, {"gold.tsv": "PROPN\nAUX\n\nPROPN\n"}),
    "CoNLL-U": ("udpos", "de", {"de.conllu": CONLLU}, {}),
    "PAN-X": ("panx", "en", {"dev": "en:Rome\tB-LOC\nen:is\tO\n\nen:Anna\tB-PER\nen:Bell\tI-PER\n"}, {}),
    "SQuAD": ("squad_v2", "en", {"dev-v2.0.json": SQUAD}, {}),
    "answers apart": ("xquad", "en", {"xquad.en.json": SQUAD.replace("Rome", "")}, {"gold.json": SQUAD}),
    "translated SQuAD": ("xquad", "de", {"squad.translate.train.en-de.json": SQUAD}, {}),
    "packed SQuAD": ("squad_v2", "en", {"dev.json.gz": gzip.compress(SQUAD.encode())}, {}),
    "CCGbank": ("ccg", "en", {"wsj_0001.auto": FILES["ccg/wsj_0001.auto"] * 2}, {}),
    "HellaSwag": ("hellaswag", "en", {"h.jsonl": FILES["hellaswag/hellaswag_val.jsonl"]}, {}),
    "Cosmos QA": ("cosmosqa", "en", {"valid.csv": FILES["cosmosqa/valid.csv"]}, {}),
    "CommonsenseQA": ("commonsense_qa", "en", {"dev.jsonl": FILES["commonsense_qa/dev_rand_split.jsonl"]}, {}),
    "BUCC": (
        "bucc2018",
        "de",
        {name: FILES[f"bucc2018/de-en.dev.{name}"] for name in ("de", "en", "gold")},
        {},
    ),
    "Tatoeba": ("tatoeba", "de", {"t.deu": "eins\nzwei\ndrei\n", "t.eng": "one\ntwo\nthree\n"}, {}),
    "neighbours apart": ("tatoeba", "de", {"t.de": "eins\nzwei\n", "t.en": "b\na\n"}, {"gold.tsv": "1\n0\n"}),
}


def _bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


def _rows(task: str, language: str, files: list[str], gold: list[str], folder: Path) -> None:
    """Read, then used as training uses them."""
    declared = load(task)
    paths = tuple(folder / name for name in files)
    found = read_examples(declared, paths, language, [folder / name for name in gold])
    for example in found:
        hash(declared.type.fingerprint(example))
        declared.type.gold(example)
    examples = [s for e in found for s in e.queries] if hasattr(found[0], "queries") else found
    if task != "ccg":  # its tags are those of the training rows
        declared.type.encode(examples, CHARACTERS, ENCODING)
    languages_in(paths[0])


def tables() -> Iterator[Reader]:
    """The published formats, one by one."""
    for name, (task, language, files, gold) in TABLES.items():
        content = {at: _bytes(text) for at, text in {**files, **gold}.items()}
        yield Reader(name, content, partial(_rows, task, language, list(files), list(gold)))


def _whole_folder(folder: Path) -> None:
    """Every task's files by their names, and the check of the folder, which has to say everything and stop at nothing."""
    report = check_folder(folder, [load(name) for name in names()])
    assert len(report.parts) > 100
    data = DataFolder(folder)
    for name in ("xnli", "tydiqa", "tatoeba", "ccg"):
        data.languages(load(name), "test" if name != "ccg" else "train")


def _own_rows(task_type: Any, format: str, folder: Path) -> None:
    with opened(str(folder / f"own.{format}")) as (where, stream):
        found, stream = format_of(where, None, stream, where)
        form = form_for(task_type, found, where=where)
        rows = list(read_rows(lines(stream), form, where))
    good = [row.example for row in rows if not row.problem]
    if task_type is not None:
        task_type.encode(good, CHARACTERS, ENCODING)


OWN: dict[str, tuple[Any, dict[str, str]]] = {
    "single": (
        Classification(("a", "b")),
        {"txt": "one\ntwo\n", "jsonl": '{"first": "one"}\n{"first": "a", "second": "b"}\n'},
    ),
    "pair": (Classification(("a", "b")), {"tsv": "a\tb\nc\td\n"}),
    "tagging": (
        Tagging(("O", "X")),
        {"txt": "a b\nc\n", "jsonl": '{"words": ["a", "b"]}\n', "conll": "a\tO\nb\n\nc\n"},
    ),
    "span": (Span(), {"tsv": "who?\tit is me\n", "jsonl": '{"question": "who?", "context": "it is me"}\n'}),
    "multiple_choice": (MultipleChoice(2), {"jsonl": '{"context": "a", "question": "b", "choices": ["c", "d"]}\n'}),
    "embedding": (None, {"txt": "a\nb\n", "jsonl": '{"text": "a"}\n'}),
}
assert OWN.keys() == COLUMNS.keys()


def own_text() -> Iterator[Reader]:
    """One's own rows, in every format of every shape."""
    for reads, (task_type, files) in OWN.items():
        for format, text in files.items():
            read = partial(_own_rows, task_type, format)
            yield Reader(f"own text: {reads} {format}", {f"own.{format}": text.encode()}, read, weight=0.4)


STUDY = """\
name: any
title: &t A title
models: {m: {path: model, note: *t}, r: {shape: xlm-r-base, random_weights: true, tokenizer: t}}
arms:
  none: {}
  nli: {intermediate: mnli}
  both: {intermediate: [mnli, qqp], mixture: {temperature: 2, sampling: temperature}}
targets: [xnli, tatoeba]
seeds: [1, 2]
own_languages: {de: {name: German, distance: 0.5}}
data: {files: {mnli.train: x.tsv}}
limits: {train_rows: {mnli: 3}, evaluation_rows: 5}
training: {intermediate: {max_steps: 2}, xnli: {learning_rate: 1.0e-5}}
encoding: {target: {max_length: 48}}
retrieval: {poolings: [mean], layer_from: fixed}
retries: {collapsed: 1}
measurements: {speed: {targets: [xnli], arms: [none], rows: 4, blocks: 3, margin: 0.1}}
notes: {made: by hand}
"""


def _study(folder: Path) -> None:
    study = read_study(folder / "study.yaml")
    check_names(study, folder / "study.yaml")
    study.model_dump_json()


SUBMITTED = {
    "xnli/test-en.tsv": ("neutral\nentailment\ncontradiction\n", "neutral\nneutral\ncontradiction\n"),
    "udpos/test-en.tsv": ("DET\nNOUN\n\nVERB\n", "DET\nVERB\n\nVERB\n"),
    "panx/test-en.tsv": ("B-PER\nI-PER\n\nO\n", "B-PER\nO\n\nO\n"),
    "bucc2018/test-de.tsv": ("de-1\ten-2\nde-3\ten-4\n", "de-1\ten-2\n"),
    "tatoeba/test-de.tsv": ("2\n0\n1\n", "2\n0\n0\n"),
    "xquad/test-en.json": (FILES["squad/train-v1.1.json"], '{"q0": "Rome", "q1": ""}'),
}


def _scores(folder: Path) -> None:
    json.dumps(
        score_submission(folder / "said", folder / "gold", partial=True, tasks=targets()).as_json(), allow_nan=False
    )


def _predictions(folder: Path) -> None:
    read_predictions(folder / "en.jsonl")


def _made(read: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    return lambda folder: read(folder / name)


RECORD = {
    "from": "en",
    "to": "de",
    "engine": {"name": "x", "version": "1"},
    "rows": {"read": 3, "written": 2},
}
POCKET = {"version": 3, "digest": "00", "settings": {"seed": 1}, "languages": [{"code": "en"}, {"code": "qa"}]}


def others() -> Iterator[Reader]:
    """What is no table of rows."""
    yield Reader("data folder", {n: t.encode() for n, t in FILES.items()}, _whole_folder, weight=0.3)
    yield Reader("text", {"en.txt": b"a text\n\nanother\n"}, _made(read_text, "en.txt"), weight=0.5)
    yield Reader("translations", {"de.tsv": b"a\tb\nc\td\n"}, _made(read_translations, "de.tsv"), weight=0.5)
    record = json.dumps(RECORD).encode()
    yield Reader("record of a translation", {"x.tsv.translation.json": record}, _made(origin, "x.tsv"))
    yield Reader("pocket.json", {"pocket.json": json.dumps(POCKET).encode()}, read_made)
    recipes = {path.stem: path.read_bytes() for path in RECIPES.glob("p*0.yaml")}
    for name, content in {"own": STUDY.encode(), **recipes}.items():
        yield Reader(f"study file: {name}", {"study.yaml": content}, _study, weight=2 if name == "own" else 0.2)
    files = {f"gold/{name}": gold.encode() for name, (gold, _) in SUBMITTED.items()}
    files |= {f"said/{name}": said.encode() for name, (_, said) in SUBMITTED.items()}
    yield Reader("submission and labels", files, _scores, weight=2)
    row = b'{"label": "neutral", "log_probabilities": {"neutral": -0.1}}\n'
    yield Reader("predictions of a node", {"en.jsonl": row * 3}, _predictions, weight=0.5)


def readers() -> list[Reader]:
    """All of them."""
    return [*tables(), *own_text(), *others()]
