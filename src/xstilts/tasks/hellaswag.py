"""HellaSwag: which of four endings continues the text (Zellers et al. 2019)."""

from __future__ import annotations

from xstilts.data.choices import read_hellaswag
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import MultipleChoice
from xstilts.tasks.task import Task

TASK = Task(
    name="hellaswag",
    role="intermediate",
    title="HellaSwag",
    type=MultipleChoice(4),
    files={"train": (("hellaswag/hellaswag_train.jsonl",),), "dev": (("hellaswag/hellaswag_val.jsonl",),)},
    read=read_hellaswag,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="hellaswag",
    training=Training(learning_rate=1e-5, batch_size=24, epochs=7, warmup=0.1, weight_decay=0.01),
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
    counts={"train": {"en": 39_905}, "dev": {"en": 10_042}},
    paper="arXiv:1905.07830",
    licence="MIT",
    address="https://github.com/rowanz/hellaswag/tree/master/data",
    fetch=(
        "mkdir -p hellaswag && cd hellaswag && for s in train val; do curl -LO "
        "https://raw.githubusercontent.com/rowanz/hellaswag/master/data/hellaswag_$s.jsonl; done"
    ),
    bibtex="""@inproceedings{zellers-2019-hellaswag,
  title = {HellaSwag: Can a Machine Really Finish Your Sentence?},
  author = {Zellers, Rowan and Holtzman, Ari and Bisk, Yonatan and Farhadi, Ali and Choi, Yejin},
  booktitle = {ACL}, year = 2019}""",
)
