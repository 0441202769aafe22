"""SQuAD v2.0: extractive question answering with unanswerable questions (Rajpurkar et al. 2018)."""

from __future__ import annotations

from xstilts.data.squad import read_squad
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.qa import squad_v2_metric
from xstilts.task_types import Span
from xstilts.tasks.task import Task

TASK = Task(
    name="squad_v2",
    role="intermediate",
    title="SQuAD v2.0",
    type=Span(unanswerable=True),
    files={
        "train": (("squad/train-v2.0.json",), ("SQuAD/train-v2.0.json",)),
        "dev": (("squad/dev-v2.0.json",), ("SQuAD/dev-v2.0.json",)),
    },
    read=read_squad,
    metric=squad_v2_metric,
    main_score=("exact_match", "f1"),
    trains_on="squad_v2",
    training=Training(learning_rate=1e-5, batch_size=8, epochs=3, warmup=0.1, weight_decay=0.01),
    encoding=Encoding(max_length=384, stride=128),
    marks={
        "learning_rate": "recalled",
        "epochs": "recalled",
        "batch_size": "recalled",
        "warmup": "read",
        "weight_decay": "read",
        "selection_rows": "recalled",
        "max_length": "read",
        "stride": "read",
        "evaluations_per_epoch": "choice",
    },
    counts={"train": {"en": 130_319}, "dev": {"en": 11_873}},
    paper="arXiv:1806.03822",
    licence="CC BY-SA 4.0",
    address="https://rajpurkar.github.io/SQuAD-explorer/",
    fetch=(
        "mkdir -p squad && cd squad && for s in train dev; do curl -LO "
        "https://rajpurkar.github.io/SQuAD-explorer/dataset/$s-v2.0.json; done"
    ),
    bibtex="""@inproceedings{rajpurkar-2018-squad2,
  title = {Know What You Don't Know: Unanswerable Questions for SQuAD},
  author = {Rajpurkar, Pranav and Jia, Robin and Liang, Percy},
  booktitle = {ACL}, year = 2018}""",
)
