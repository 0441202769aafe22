"""Cosmos QA: reading comprehension that needs commonsense, four answers (Huang et al. 2019)."""

from __future__ import annotations

from xstilts.data.choices import read_cosmosqa
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import MultipleChoice
from xstilts.tasks.task import Task

TASK = Task(
    name="cosmosqa",
    role="intermediate",
    title="Cosmos QA",
    type=MultipleChoice(4),
    files={"train": (("cosmosqa/train.csv",),), "dev": (("cosmosqa/valid.csv",),)},
    read=read_cosmosqa,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="cosmosqa",
    training=Training(learning_rate=1e-5, batch_size=4, epochs=15, warmup=0.1, weight_decay=0.01),
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
    counts={"train": {"en": 25_262}, "dev": {"en": 2_985}},
    paper="arXiv:1909.00277",
    licence="CC BY 4.0",
    address="https://github.com/wilburOne/cosmosqa/tree/master/data",
    fetch=(
        "mkdir -p cosmosqa && cd cosmosqa && for s in train valid; do curl -LO "
        "https://raw.githubusercontent.com/wilburOne/cosmosqa/master/data/$s.csv; done"
    ),
    bibtex="""@inproceedings{huang-2019-cosmosqa,
  title = {Cosmos QA: Machine Reading Comprehension with Contextual Commonsense Reasoning},
  author = {Huang, Lifu and Le Bras, Ronan and Bhagavatula, Chandra and Choi, Yejin},
  booktitle = {EMNLP}, year = 2019}""",
)
