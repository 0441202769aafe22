"""A whole tiny data folder, a tiny random XLM-R with a tokenizer trained on it, and studies over both.

Every target task in every language XTREME lists, test gold apart in ``labels/``; every intermediate task. Texts are random
words: scores mean nothing, only that the same thing is computed everywhere. Made once a process.
"""

from __future__ import annotations

import atexit
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xstilts.tasks import load

ROWS = 24
NLI = ("entailment", "neutral", "contradiction")
COSMOS = ("id", "context", "question", "answer0", "answer1", "answer2", "answer3", "label")
SHORT = {"max_length": 48, "stride": 8, "max_question_length": 16, "max_answer_length": 8}
CLI = (sys.executable, "-c", "from xstilts.cli import main; main()")

_HOME = tempfile.TemporaryDirectory(prefix="xstilts-world-")
atexit.register(_HOME.cleanup)


class _Writer:
    """Random rows, the same at every call with the same seed."""

    def __init__(self, root: Path, rows: int) -> None:
        self.root, self.rows = root, rows
        self.random = random.Random(11)
        self.words = ["".join(self.random.choices("abcdefghiklmnoprstuvwz", k=k % 4 + 2)) for k in range(300)]

    def put(self, name: str, lines: Sequence[str]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def text(self, least: int = 3, most: int = 7) -> str:
        return " ".join(self.random.choices(self.words, k=self.random.randint(least, most)))

    def labels(self, labels: Sequence[str]) -> list[str]:
        return [labels[k % len(labels)] for k in self.random.sample(range(self.rows), self.rows)]

    def pairs(self, task: str, labels: Sequence[str]) -> None:
        for split in ("train", "dev", "test"):
            for language in load(task).languages if split != "train" else ("en",):
                gold = self.labels(labels)
                rows = [f"{self.text()}\t{self.text()}" for _ in gold]
                if split == "test":
                    self.put(f"labels/{task}/test-{language}.tsv", gold)
                else:
                    rows = [f"{row}\t{label}" for row, label in zip(rows, gold, strict=True)]
                self.put(f"{task}/{split}-{language}.tsv", rows)

    def tagged(self, task: str, tags: Sequence[str]) -> None:
        for split in ("train", "dev", "test"):
            for language in load(task).languages if split != "train" else ("en",):
                rows: list[str] = []
                gold: list[str] = []
                for _ in range(self.rows):
                    words = self.text().split()
                    here = self.random.choices(tags, k=len(words))
                    pairs = zip(words, here, strict=True)
                    rows += [*(words if split == "test" else (f"{w}\t{t}" for w, t in pairs)), ""]
                    gold += [*here, ""]
                self.put(f"{task}/{split}-{language}.tsv", rows)
                if split == "test":
                    self.put(f"labels/{task}/test-{language}.tsv", gold)

    def questions(self, name: str, gold_name: str | None = None, *, some_without: bool = False) -> None:
        """SQuAD JSON; with ``gold_name`` the answers stand only there."""
        paragraphs, blank = [], []
        for p in range(self.rows // 2):
            words = self.text(8, 14).split()
            context = " ".join(words)
            asked = []
            for q in range(2):
                at = self.random.randrange(len(words))
                start = len(" ".join(words[:at])) + (at > 0)
                answers = [{"text": words[at], "answer_start": start}]
                none = some_without and q == 1
                question: dict[str, Any] = {"id": f"q{p}.{q}", "question": self.text()}
                asked.append(question | ({"answers": [], "is_impossible": True} if none else {"answers": answers}))
            paragraphs.append({"context": context, "qas": asked})
            empty = [{**a, "answers": [{"text": "", "answer_start": 0}]} for a in asked]
            blank.append({"context": context, "qas": empty})
        full = json.dumps({"version": "1", "data": [{"title": "t", "paragraphs": paragraphs}]})
        if gold_name is not None:
            self.put(gold_name, [full])
            full = json.dumps({"version": "1", "data": [{"title": "t", "paragraphs": blank}]})
        self.put(name, [full])

    def answers(self) -> None:
        for language in load("xquad").languages:
            self.questions(f"xquad/xquad.{language}.json", f"labels/xquad/test-{language}.json")
        for language in load("mlqa").languages:
            stem = "mlqa/MLQA_V1/{0}/{0}-context-{1}-question-{1}.json"
            self.questions(stem.format("dev", language))
            self.questions(stem.format("test", language), f"labels/mlqa/test-{language}.json")
        folder = "tydiqa/tydiqa-goldp-v1.1"
        self.questions(f"{folder}-train/tydiqa.goldp.en.train.json")
        for language in load("tydiqa").languages:
            self.questions(f"{folder}-dev/tydiqa.goldp.{language}.dev.json", f"labels/tydiqa/test-{language}.json")
        for split in ("train", "dev"):
            self.questions(f"squad/{split}-v1.1.json")
            self.questions(f"squad/{split}-v2.0.json", some_without=True)

    def bitexts(self) -> None:
        for language in load("bucc2018").languages:
            for split in ("dev", "test"):
                shared = {k: self.text(4, 8) for k in range(8)}
                for side, start in ((language, 100), ("en", 200)):
                    rows = [f"{side}-{start + k}\t{shared.get(k) or self.text(4, 8)}" for k in range(self.rows)]
                    self.random.shuffle(rows)
                    self.put(f"bucc2018/{language}-en.{split}.{side}", rows)
                gold = [f"{language}-{100 + k}\ten-{200 + k}" for k in shared]
                self.put(
                    f"bucc2018/{language}-en.dev.gold" if split == "dev" else f"labels/bucc2018/test-{language}.tsv",
                    gold,
                )
        for language in load("tatoeba").languages:
            english = sorted({self.text(4, 8) for _ in range(self.rows)})
            order = self.random.sample(range(len(english)), len(english))
            foreign = [english[k] if k % 3 else self.text(4, 8) for k in order]
            self.put(f"tatoeba/{language}-en.en", english)
            self.put(f"tatoeba/{language}-en.{language}", foreign)
            self.put(f"labels/tatoeba/test-{language}.tsv", [str(order.index(k)) for k in range(len(english))])

    def inference(self) -> None:
        for split in ("train", "dev"):
            rows = [{"gold_label": y, "sentence1": self.text(), "sentence2": self.text()} for y in self.labels(NLI)]
            self.put(f"multinli_1.0/multinli_1.0_{'train' if split == 'train' else 'dev_matched'}.jsonl", _lines(rows))
            self.put(f"snli_1.0/snli_1.0_{split}.jsonl", _lines(rows))
            short = [{"context": self.text(), "hypothesis": self.text(), "label": y} for y in self.labels("enc")]
            for k in (1, 2, 3):
                self.put(f"anli_v0.1/R{k}/{split}.jsonl", _lines(short))
            same = [f"{k}\t{self.text()}\t{self.text()}\t{y}" for k, y in enumerate(self.labels("01"))]
            self.put(f"QQP/{split}.tsv", ["id\tquestion1\tquestion2\tis_duplicate", *same])

    def choices(self) -> None:
        for split in ("train", "dev"):
            swag = [
                {"ctx_a": self.text(), "ctx_b": "it", "endings": [self.text() for _ in "abcd"], "label": int(y)}
                for y in self.labels("0123")
            ]
            self.put(f"hellaswag/hellaswag_{'train' if split == 'train' else 'val'}.jsonl", _lines(swag))
            sense = [
                {
                    "answerKey": y,
                    "question": {
                        "stem": self.text(),
                        "choices": [{"label": c, "text": self.text(1, 2)} for c in "ABCDE"],
                    },
                }
                for y in self.labels("ABCDE")
            ]
            self.put(f"commonsense_qa/{split}_rand_split.jsonl", _lines(sense))
            path = self.root / "cosmosqa" / f"{'train' if split == 'train' else 'valid'}.csv"
            path.parent.mkdir(exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows(
                    [COSMOS, *([k, *(self.text() for _ in range(6)), y] for k, y in enumerate(self.labels("0123")))]
                )

    def supertags(self) -> None:
        """CCGbank; the dev section has a category that no training sentence has."""
        for section, tags in (
            ("00", ("N", "NP", "S\\NP", "N/N")),
            ("02", ("N", "NP", "N/N")),
            ("12", ("N", "S/NP")),
            ("20", ("NP", "N")),
        ):
            rows = []
            for k in range(self.rows // 3):
                leaves = " ".join(f"(<L {self.random.choice(tags)} X X {word} N>)" for word in self.text().split())
                rows += [f"ID=wsj_{section}01.{k + 1}", f"(<T S 0 2> {leaves} )"]
            self.put(f"ccg/wsj_{section}01.auto", rows)


def _lines(rows: Sequence[Any]) -> list[str]:
    return [json.dumps(row) for row in rows]


def write_world(root: Path, rows: int = ROWS) -> Path:
    """The data folder: ``rows`` rows in every file."""
    writer = _Writer(root, rows)
    writer.pairs("xnli", NLI)
    writer.pairs("pawsx", ("0", "1"))
    writer.tagged("udpos", load("udpos").type.labels)  # type: ignore[attr-defined]
    writer.tagged("panx", ("O", "B-PER", "I-PER", "B-LOC", "B-ORG"))
    for part in (writer.answers, writer.bitexts, writer.inference, writer.choices, writer.supertags):
        part()
    return root


@cache
def tiny_data() -> Path:
    """The data folder that all tests read and none changes."""
    return write_world(Path(_HOME.name) / "data")


@cache
def tiny_model(positions: int = 80) -> Path:
    """A random two-layer XLM-R with a small BPE tokenizer trained on the tiny data. Loads torch.

    Its longest sequence has two sub-words less than ``positions``.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import AutoConfig, AutoModel

    folder = Path(_HOME.name) / str(positions) / "model"
    folder.mkdir(parents=True)
    rust = Tokenizer(models.BPE(unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    files = [str(p) for p in sorted(tiny_data().glob("*/*.tsv"))]
    rust.train(files, trainers.BpeTrainer(vocab_size=160, special_tokens=names, show_progress=False))
    ends = [("<s>", 0), ("</s>", 2)]
    rust.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    rust.save(str(folder / "tokenizer.json"))
    roles = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **dict(zip(roles, names, strict=True))}
    config |= {"cls_token": "<s>", "sep_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    shape |= {
        "vocab_size": rust.get_vocab_size(),
        "max_position_embeddings": positions,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    }
    torch.manual_seed(5)
    AutoModel.from_config(AutoConfig.for_model("xlm-roberta", **shape, initializer_range=0.2)).save_pretrained(folder)
    return folder


def fake_model(folder: Path, *, layers: int = 2, weights: bytes = b"weights", tokenizer: str = "{}") -> Path:
    """A folder that planning takes for a model: it looks at bytes only."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "xlm-roberta", "num_hidden_layers": layers}))
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text(tokenizer)
    return folder


def tiny_study(**changes: Any) -> dict[str, Any]:
    """A study of two arms and one target with two steps a training; ``changes`` replace fields."""
    few = {"max_steps": 2, "batch_size": 6, "selection": "last"}
    return {
        "name": "tiny",
        "models": {"tiny": {"path": str(tiny_model())}},
        "arms": {"none": {}, "mnli": {"intermediate": "mnli"}},
        "targets": ["xnli"],
        "seeds": [1],
        "precision": "fp32",
        "training": {"intermediate": {**few, "selection": "dev", "selection_rows": 8}, "target": few},
        "encoding": {"intermediate": SHORT, "target": SHORT},
        **changes,
    }


def write_study(folder: Path, raw: dict[str, Any]) -> Path:
    """``raw`` as a study file in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{raw['name']}.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def environment() -> dict[str, str]:
    """One thread, and nothing of the user's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("XSTILTS_")}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}


def command(*arguments: object, expect: int = 0) -> str:
    """Run the real command line in a process of its own; its standard output."""
    done = subprocess.run(
        [*CLI, *map(str, arguments)], capture_output=True, text=True, env=environment(), timeout=140, check=False
    )
    assert done.returncode == expect, f"exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def run_command(study: Path, store: Path, *more: object, data: Path | None = None) -> tuple[object, ...]:
    """The arguments of ``xstilts run`` on the tiny data, on one thread."""
    return ("run", study, "--data", data or tiny_data(), "--store", store, "--threads", 1, *more)


def nine_targets() -> list[str]:
    """XTREME's nine, in its order."""
    return ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]


@cache
def full_run() -> tuple[Path, list[dict[str, Any]]]:
    """All nine targets in all languages, three arms: the store and the rows of ``results --json``."""
    home = Path(_HOME.name) / "full"
    arms: dict[str, Any] = {name: {"intermediate": name} for name in ("squad_v2", "mnli")}
    study = write_study(home, tiny_study(name="full", arms={"none": {}, **arms}, targets=nine_targets()))
    command(*run_command(study, home / "store"))
    return home / "store", json.loads(command("results", "--store", home / "store", "--json", "-"))
