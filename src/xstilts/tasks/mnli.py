"""MNLI: natural language inference over ten genres (Williams et al. 2018). Dev is the matched set."""

from __future__ import annotations

from xstilts.data.pairs import NLI_LABELS, read_nli
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import Classification
from xstilts.task_types.label_casts import LabelCast
from xstilts.tasks.task import Task

_TRANSLATED = (
    ("XNLI-MT-1.0/multinli/multinli.train.{language}.tsv",),
    ("xtreme_translations/XNLI/translate-train/en-{language}-translated.tsv",),
)


def _layouts(name: str) -> tuple[tuple[str, ...], ...]:
    folders = ("multinli_1.0", "mnli")
    published = (f"{folder}/multinli_1.0_{name}.{ending}" for folder in folders for ending in ("jsonl", "txt"))
    glue = (f"{folder}/{name}.tsv" for folder in ("MNLI", "GLUE/MNLI", "glue_data/MNLI"))
    return tuple((file,) for file in (*published, *glue))


TASK = Task(
    name="mnli",
    role="intermediate",
    title="MNLI",
    type=Classification(NLI_LABELS),
    cast=LabelCast("mnli:", ("premise", "hypothesis"), NLI_LABELS, ("0", "1", "2")),
    files={
        "train": (*_layouts("train"), *_TRANSLATED),
        "dev": _layouts("dev_matched"),
    },
    read=read_nli,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="mnli",
    training=Training(learning_rate=1e-5, batch_size=24, epochs=2, warmup=0.1, weight_decay=0.01),
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
    counts={"train": {"en": 392_702}, "dev": {"en": 9_815}},
    paper="arXiv:1704.05426",
    licence="OANC, CC BY 3.0, CC BY-SA 3.0, MIT",
    address="https://cims.nyu.edu/~sbowman/multinli/multinli_1.0.zip",
    fetch=("curl -LO https://cims.nyu.edu/~sbowman/multinli/multinli_1.0.zip && unzip multinli_1.0.zip"),
    bibtex="""@inproceedings{williams-2018-multinli,
  title = {A Broad-Coverage Challenge Corpus for Sentence Understanding through Inference},
  author = {Williams, Adina and Nangia, Nikita and Bowman, Samuel},
  booktitle = {NAACL}, year = 2018}""",
)
