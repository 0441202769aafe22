"""Which hub dataset, config and split the rows of each task have, and the file of the data folder they become.

Marks: [read] in the dataset's card, its list of files or the script it was made with (stored copies of the hub's pages);
[recalled] from memory, to be confirmed by the first real fetch, which refuses what does not fit. No revision is pinned
here: none could be read in full. The first fetch records the commit it took in ``hub.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xstilts.data.squad import id_language
from xstilts.hub import writing
from xstilts.hub.writing import Row, Writer
from xstilts.languages import LANGUAGES
from xstilts.tasks import load

XTREME = "google/xtreme"  # [read] parquet, 183 configs
_NLI = {name: name for name in ("entailment", "neutral", "contradiction")}
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_UD_NAMES = {"zh": "Chinese"}  # [read] the other config names are English names as ours

REFUSED = {
    "bucc2018": "the hub's copy has the gold pairs only and not the pools they are mined from",
    "ccg": "CCGbank's licence (LDC2005T13) does not allow anybody to share it",
}
"""Tasks that the hub cannot give, and why (FACTS 2.5)."""


@dataclass(frozen=True)
class Copy:
    """One file of the data folder, and the rows of the hub it is made from.

    Args:
        path: of the file, under the data folder.
        dataset, config, split: where the rows are on the hub.
        columns: what is read of a row.
        write: turns rows into the file's text.
        belongs: tells a row's language where one split holds several.
        differs: how the hub's copy differs from XTREME's; empty if it does not.
        lines: texts that are taken at most, read from the hub piece by piece; ``None`` where all rows are, and whole files
            are brought into the hub's cache.
        branch: the revision that is looked up; ``refs/convert/parquet`` is the hub's own conversion of a dataset whose
            main branch is a script.
    """

    path: str
    dataset: str
    config: str | None
    split: str
    columns: tuple[str, ...]
    write: Writer
    belongs: Callable[[Row], str | None] | None = None
    differs: str = ""
    branch: str = "main"
    lines: int | None = None

    @property
    def address(self) -> str:
        """For people: ``google/xtreme XNLI test``."""
        return " ".join(part for part in (self.dataset, self.config, self.split) if part)


def copies(task: str, split: str, language: str) -> tuple[Copy, ...]:
    """The files that give this split of this task in this language; empty where the hub has no such rows."""
    declare = _DECLARED.get(task)
    if declare is None or language not in load(task).languages_of(split):
        return ()
    if (task, split) == ("xnli", "train") and language != "en":
        return ()
    return tuple(declare(split, language))


def _column(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


def _xnli(split: str, language: str) -> list[Copy]:
    if split == "train":
        return _mnli(split, language)
    columns = ("sentence1", "sentence2", "gold_label")
    return [
        Copy(
            f"xnli/{split}-{language}.tsv",
            XTREME,
            "XNLI",  # [read] one table of all languages; labels are words
            _SPLITS[split],
            (*columns, "language"),
            writing.pairs(*columns, _NLI),
            belongs=_column("language"),
            differs="the hub holds one mixed table of all languages; it was parted by its language column",
        )
    ]


def _pawsx(split: str, language: str) -> list[Copy]:
    columns = ("sentence1", "sentence2", "label")  # [read] the label is the text 0 or 1
    write = writing.pairs(*columns, {"0": "0", "1": "1"})
    differs = "the hub dropped rows that did not parse into four fields (English train 49,175 of 49,401)"
    path = f"pawsx/{split}-{language}.tsv"
    return [Copy(path, XTREME, f"PAWS-X.{language}", _SPLITS[split], columns, write, differs=differs)]


def _udpos(split: str, language: str) -> list[Copy]:
    name = _UD_NAMES.get(language) or LANGUAGES[language].name
    columns = ("tokens", "pos_tags")  # [read] a list of words and a list of class labels
    differs = "syntactic words stand where XTREME has fused forms, and sentences differ in number: not comparable"
    path = f"udpos/{split}-{language}.tsv"
    return [Copy(path, XTREME, f"udpos.{name}", _SPLITS[split], columns, writing.words(*columns), differs=differs)]


def _panx(split: str, language: str) -> list[Copy]:
    columns = ("tokens", "ner_tags")  # [recalled]
    path = f"panx/{split}-{language}.tsv"
    return [Copy(path, XTREME, f"PAN-X.{language}", _SPLITS[split], columns, writing.words(*columns))]


_QA = ("id", "context", "question", "answers")  # [read]


def _xquad(split: str, language: str) -> list[Copy]:
    # [read] the only split is called validation
    return [
        Copy(f"xquad/xquad.{language}.json", XTREME, f"XQuAD.{language}", "validation", _QA, writing.questions(False))
    ]


def _mlqa(split: str, language: str) -> list[Copy]:
    path = f"mlqa/MLQA_V1/{split}/{split}-context-{language}-question-{language}.json"
    config = f"MLQA.{language}.{language}"  # [read] context's language, then the question's
    return [Copy(path, XTREME, config, _SPLITS[split], _QA, writing.questions(False))]


def _tydiqa(split: str, language: str) -> list[Copy]:
    side, name = ("train", "train") if split == "train" else ("validation", "dev")  # [read] the public dev set
    path = f"tydiqa/tydiqa-goldp-v1.1-{name}/tydiqa.goldp.{language}.{name}.json"
    return [Copy(path, XTREME, "tydiqa", side, _QA, writing.questions(False), lambda row: id_language(str(row["id"])))]


def _tatoeba(split: str, language: str) -> list[Copy]:
    iso3 = LANGUAGES[language].iso3
    differs = (
        "lines are aligned as in LASER's files, and the line number is the gold; XTREME sorts the English side, so "
        "these predictions do not fit its scorer"
    )
    return [
        Copy(
            f"tatoeba/tatoeba.{iso3}-eng.{side}",
            XTREME,
            f"tatoeba.{iso3}",
            "validation",  # [read] the only split; texts end in a line break
            (column,),
            writing.lines(column),
            differs=differs,
        )
        for side, column in ((iso3, "source_sentence"), ("eng", "target_sentence"))
    ]


def _mnli(split: str, language: str) -> list[Copy]:
    name, side = ("train", "train") if split == "train" else ("dev_matched", "validation_matched")
    columns = ("premise", "hypothesis", "label")  # [read] 0 entailment, 1 neutral, 2 contradiction
    path = f"multinli_1.0/multinli_1.0_{name}.jsonl"
    return [Copy(path, "nyu-mll/multi_nli", None, side, columns, writing.inference(*columns))]


def _anli_plus(split: str, language: str) -> list[Copy]:
    columns = ("premise", "hypothesis", "label")  # [read] names and splits; [recalled] SNLI's -1 is no gold
    snli = Copy(
        f"snli_1.0/snli_1.0_{split}.jsonl",
        "stanfordnlp/snli",
        "plain_text",
        _SPLITS[split],
        columns,
        writing.inference(*columns),
    )
    rounds = [
        Copy(
            f"anli_v0.1/R{k}/{split}.jsonl",
            "facebook/anli",
            "plain_text",
            f"{split}_r{k}",
            columns,
            writing.adversarial(*columns),
        )
        for k in (1, 2, 3)
    ]
    return [*_mnli(split, language), snli, *rounds]


def _qqp(split: str, language: str) -> list[Copy]:
    columns = ("question1", "question2", "label")  # [recalled] not_duplicate, duplicate
    write = writing.pairs(*columns, {"not_duplicate": "0", "duplicate": "1"})
    return [Copy(f"QQP/{split}.tsv", "nyu-mll/glue", "qqp", _SPLITS[split], columns, write)]


def _squad_v1(split: str, language: str) -> list[Copy]:
    # Not XTREME's config: it strips contexts without moving the answers. [recalled]
    write = writing.questions(False)
    return [Copy(f"squad/{split}-v1.1.json", "rajpurkar/squad", "plain_text", _SPLITS[split], _QA, write)]


def _squad_v2(split: str, language: str) -> list[Copy]:
    write = writing.questions(True)  # [read] no answers means unanswerable
    return [Copy(f"squad/{split}-v2.0.json", "rajpurkar/squad_v2", "squad_v2", _SPLITS[split], _QA, write)]


def _hellaswag(split: str, language: str) -> list[Copy]:
    columns = ("ctx_a", "ctx_b", "endings", "label")  # [read] the label is a text
    name = "train" if split == "train" else "val"
    path = f"hellaswag/hellaswag_{name}.jsonl"
    return [Copy(path, "Rowan/hellaswag", None, _SPLITS[split], columns, writing.json_rows(columns))]


def _cosmosqa(split: str, language: str) -> list[Copy]:
    columns = ("context", "question", "answer0", "answer1", "answer2", "answer3", "label")  # [read]
    name = "train" if split == "train" else "valid"
    write = writing.table(columns)
    # [read] the main branch is a script, which is never run; [recalled] the hub's own conversion holds the same rows
    return [
        Copy(
            f"cosmosqa/{name}.csv",
            "allenai/cosmos_qa",
            None,
            _SPLITS[split],
            columns,
            write,
            branch="refs/convert/parquet",
        )
    ]


def _commonsense_qa(split: str, language: str) -> list[Copy]:
    columns = ("question", "choices", "answerKey")  # [read]
    path = f"commonsense_qa/{split}_rand_split.jsonl"
    return [Copy(path, "tau/commonsense_qa", None, _SPLITS[split], columns, writing.commonsense)]


_DECLARED: dict[str, Callable[[str, str], list[Copy]]] = {
    "xnli": _xnli,
    "pawsx": _pawsx,
    "udpos": _udpos,
    "panx": _panx,
    "xquad": _xquad,
    "mlqa": _mlqa,
    "tydiqa": _tydiqa,
    "tatoeba": _tatoeba,
    "mnli": _mnli,
    "anli_plus": _anli_plus,
    "qqp": _qqp,
    "squad_v1": _squad_v1,
    "squad_v2": _squad_v2,
    "hellaswag": _hellaswag,
    "cosmosqa": _cosmosqa,
    "commonsense_qa": _commonsense_qa,
}
