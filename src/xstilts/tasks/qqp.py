"""QQP: Quora question pairs, as released with GLUE (Wang et al. 2019)."""

from __future__ import annotations

from xstilts.data.pairs import PARAPHRASE_LABELS, read_paraphrase
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import Classification
from xstilts.task_types.label_casts import LabelCast
from xstilts.tasks.task import Task

TASK = Task(
    name="qqp",
    role="intermediate",
    title="QQP",
    type=Classification(PARAPHRASE_LABELS),
    cast=LabelCast("qqp", ("question1", "question2"), PARAPHRASE_LABELS, ("not_duplicate", "duplicate")),
    files={
        split: tuple((f"{folder}/{split}.tsv",) for folder in ("QQP", "qqp", "GLUE/QQP", "glue_data/QQP"))
        for split in ("train", "dev")
    },
    read=read_paraphrase,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="qqp",
    training=Training(learning_rate=1e-5, batch_size=24, epochs=3, warmup=0.1, weight_decay=0.01),
    encoding=Encoding(max_length=256),
    marks={
        "learning_rate": "recalled",
        "epochs": "recalled",
        "batch_size": "recalled",
        "warmup": "read",
        "weight_decay": "read",
        "selection_rows": "recalled",
        "max_length": "read",
        "evaluations_per_epoch": "choice",
    },
    counts={"train": {"en": 363_846}, "dev": {"en": 40_430}},
    paper="arXiv:1804.07461",
    licence="unknown",
    address="https://dl.fbaipublicfiles.com/glue/data/QQP-clean.zip",
    fetch=("curl -LO https://dl.fbaipublicfiles.com/glue/data/QQP-clean.zip && unzip QQP-clean.zip"),
    bibtex="""@inproceedings{wang-2019-glue,
  title = {GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding},
  author = {Wang, Alex and Singh, Amanpreet and Michael, Julian and Hill, Felix and Levy, Omer and Bowman, Samuel R.},
  booktitle = {ICLR}, year = 2019}""",
)
