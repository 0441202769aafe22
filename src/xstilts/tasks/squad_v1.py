"""SQuAD v1.1: extractive question answering (Rajpurkar et al. 2016). Also trains XQuAD and MLQA."""

from __future__ import annotations

from xstilts.data.squad import read_squad
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.qa import squad_metric
from xstilts.task_types import Span
from xstilts.tasks.task import Task

TASK = Task(
    name="squad_v1",
    role="intermediate",
    title="SQuAD v1.1",
    type=Span(),
    files={
        split: (
            (f"squad/{split}-v1.1.json",),
            (f"SQuAD/{split}-v1.1.json",),
            (f"xtreme_translations/SQuAD/translate-{split}/squad.translate.{split}.en-{{language}}.json",),
        )
        for split in ("train", "dev")
    },
    read=read_squad,
    metric=squad_metric,
    main_score=("exact_match", "f1"),
    trains_on="squad_v1",
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
    counts={"train": {"en": 87_599}, "dev": {"en": 10_570}},
    paper="arXiv:1606.05250",
    licence="CC BY-SA 4.0",
    address="https://rajpurkar.github.io/SQuAD-explorer/",
    fetch=(
        "mkdir -p squad && cd squad && for s in train dev; do curl -LO "
        "https://rajpurkar.github.io/SQuAD-explorer/dataset/$s-v1.1.json; done"
    ),
    bibtex="""@inproceedings{rajpurkar-2016-squad,
  title = {SQuAD: 100,000+ Questions for Machine Comprehension of Text},
  author = {Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
  booktitle = {EMNLP}, year = 2016}""",
)
