"""PAWS-X: paraphrase identification on adversarial pairs in 7 languages (Yang et al. 2019)."""

from __future__ import annotations

from xstilts.data.pairs import PARAPHRASE_LABELS, read_paraphrase
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import Classification
from xstilts.task_types.label_casts import LabelCast
from xstilts.tasks.task import Task

_LANGUAGES = codes("de en es fr ja ko zh")

TASK = Task(
    name="pawsx",
    role="target",
    title="PAWS-X",
    type=Classification(PARAPHRASE_LABELS),
    cast=LabelCast("paws", ("sentence1", "sentence2"), PARAPHRASE_LABELS, ("different_meaning", "paraphrase")),
    group="classification",
    languages=_LANGUAGES,
    parallel=True,
    files={
        "train": (
            ("pawsx/train-{language}.tsv",),
            ("x-final/{language}/train.tsv",),
            ("x-final/{language}/translated_train.tsv",),
            ("xtreme_translations/PAWSX/translate-train/en-{language}-translated.tsv",),
            ("paws_wiki_labeled_final/final/train.tsv",),
        ),
        "dev": (("pawsx/dev-{language}.tsv",), ("x-final/{language}/dev_2k.tsv",)),
        "test": (("pawsx/test-{language}.tsv",), ("x-final/{language}/test_2k.tsv",)),
    },
    read=read_paraphrase,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="pawsx",
    training=Training(learning_rate=2e-5, epochs=5, batch_size=32, warmup=0.0, weight_decay=0.0),
    encoding=Encoding(max_length=128),
    marks={
        "learning_rate": "read",
        "epochs": "read",
        "batch_size": "read",
        "warmup": "read",
        "weight_decay": "read",
        "selection": "read",
        "max_length": "read",
        "evaluations_per_epoch": "choice",
        "selection_rows": "choice",
    },
    counts={
        "train": {"en": 49_401},
        "dev": dict.fromkeys(_LANGUAGES, 2_000),
        "test": dict.fromkeys(_LANGUAGES, 2_000),
    },
    paper="arXiv:1908.11828",
    licence="may be freely used for any purpose, acknowledgement asked",
    address="https://storage.googleapis.com/paws/pawsx/x-final.tar.gz",
    fetch="curl -LO https://storage.googleapis.com/paws/pawsx/x-final.tar.gz && tar xzf x-final.tar.gz",
    bibtex="""@inproceedings{yang-2019-pawsx,
  title = {PAWS-X: A Cross-lingual Adversarial Dataset for Paraphrase Identification},
  author = {Yang, Yinfei and Zhang, Yuan and Tar, Chris and Baldridge, Jason},
  booktitle = {EMNLP}, year = 2019}""",
)
