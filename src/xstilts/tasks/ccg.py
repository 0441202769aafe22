"""CCG: supertags of the Wall Street Journal in CCGbank (Hockenmaier and Steedman 2007). The tags are those of train."""

from __future__ import annotations

from xstilts.data.ccgbank import read_ccgbank
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.tagging import pos_metric
from xstilts.task_types import Tagging
from xstilts.tasks.task import Task

_FOLDERS = ("ccg", "CCGbank/data/AUTO/*", "ccgbank_1_1/data/AUTO/*")  # sections 02-21 train, 00 is dev

TASK = Task(
    name="ccg",
    role="intermediate",
    title="CCG",
    type=Tagging(()),
    files={
        "train": tuple(tuple(f"{folder}/wsj_{s}*.auto" for s in ("0[2-9]", "1", "2[01]")) for folder in _FOLDERS),
        "dev": tuple((f"{folder}/wsj_00*.auto",) for folder in _FOLDERS),
    },
    read=read_ccgbank,
    metric=pos_metric,
    main_score=("token_accuracy",),
    trains_on="ccg",
    training=Training(learning_rate=1e-5, batch_size=24, epochs=15, warmup=0.1, weight_decay=0.01),
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
    counts={},
    paper="ACL:J07-3004",
    licence="LDC (LDC2005T13)",
    address="https://catalog.ldc.upenn.edu/LDC2005T13",
    fetch=(
        "no command: CCGbank is licensed by the LDC (LDC2005T13); put its data/AUTO folder in place as CCGbank/data/AUTO"
    ),
    bibtex="""@article{hockenmaier-steedman-2007-ccgbank,
  title = {CCGbank: A Corpus of CCG Derivations and Dependency Structures Extracted from the Penn Treebank},
  author = {Hockenmaier, Julia and Steedman, Mark},
  journal = {Computational Linguistics}, year = 2007}""",
)
