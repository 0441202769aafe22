"""XNLI: natural language inference in 15 languages (Conneau et al. 2018). Its English training set is MultiNLI's."""

from __future__ import annotations

from xstilts.data.pairs import NLI_LABELS, read_nli
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import Classification
from xstilts.task_types.label_casts import LabelCast
from xstilts.tasks.task import Task

_LANGUAGES = codes("ar bg de el en es fr hi ru sw th tr ur vi zh")

TASK = Task(
    name="xnli",
    role="target",
    title="XNLI",
    type=Classification(NLI_LABELS),
    cast=LabelCast("xnli:", ("premise", "hypothesis"), NLI_LABELS, ("0", "1", "2")),
    group="classification",
    languages=_LANGUAGES,
    parallel=True,
    files={
        "train": (
            ("xnli/train-{language}.tsv",),
            ("XNLI-MT-1.0/multinli/multinli.train.{language}.tsv",),
            ("xtreme_translations/XNLI/translate-train/en-{language}-translated.tsv",),
            ("multinli_1.0/multinli_1.0_train.jsonl",),
            ("multinli_1.0/multinli_1.0_train.txt",),
            ("mnli/multinli_1.0_train.jsonl",),
            ("MNLI/train.tsv",),
        ),
        "dev": (("xnli/dev-{language}.tsv",), ("XNLI-1.0/xnli.dev.tsv",)),
        "test": (("xnli/test-{language}.tsv",), ("XNLI-1.0/xnli.test.tsv",)),
    },
    read=read_nli,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="xnli",
    training=Training(learning_rate=3e-5, epochs=5, batch_size=32, warmup=0.0, weight_decay=0.0),
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
        "train": {"en": 392_702},
        "dev": dict.fromkeys(_LANGUAGES, 2_490),
        "test": dict.fromkeys(_LANGUAGES, 5_010),
    },
    paper="arXiv:1809.05053",
    licence="CC BY-NC 4.0",
    address="https://dl.fbaipublicfiles.com/XNLI/XNLI-1.0.zip",
    fetch="curl -LO https://dl.fbaipublicfiles.com/XNLI/XNLI-1.0.zip && unzip XNLI-1.0.zip",
    bibtex="""@inproceedings{conneau-2018-xnli,
  title = {XNLI: Evaluating Cross-lingual Sentence Representations},
  author = {Conneau, Alexis and Rinott, Ruty and Lample, Guillaume and Williams, Adina and Bowman, Samuel R. and others},
  booktitle = {EMNLP}, year = 2018}""",
)
