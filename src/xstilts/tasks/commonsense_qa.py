"""CommonsenseQA: five answers to a question without a context (Talmor et al. 2019)."""

from __future__ import annotations

from xstilts.data.choices import read_commonsense_qa
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import MultipleChoice
from xstilts.tasks.task import Task

TASK = Task(
    name="commonsense_qa",
    role="intermediate",
    title="CommonsenseQA",
    type=MultipleChoice(5),
    files={"train": (("commonsense_qa/train_rand_split.jsonl",),), "dev": (("commonsense_qa/dev_rand_split.jsonl",),)},
    read=read_commonsense_qa,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="commonsense_qa",
    training=Training(learning_rate=1e-5, batch_size=4, epochs=10, warmup=0.1, weight_decay=0.01),
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
    counts={"train": {"en": 9_741}, "dev": {"en": 1_221}},
    paper="arXiv:1811.00937",
    licence="MIT",
    address="https://www.tau-nlp.sites.tau.ac.il/commonsenseqa",
    fetch=(
        "mkdir -p commonsense_qa && cd commonsense_qa && for s in train dev; do curl -LO "
        "https://s3.amazonaws.com/commensenseqa/${s}_rand_split.jsonl; done"
    ),
    bibtex="""@inproceedings{talmor-2019-commonsenseqa,
  title = {CommonsenseQA: A Question Answering Challenge Targeting Commonsense Knowledge},
  author = {Talmor, Alon and Herzig, Jonathan and Lourie, Nicholas and Berant, Jonathan},
  booktitle = {NAACL}, year = 2019}""",
)
