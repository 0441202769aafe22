"""ANLI+: MultiNLI, SNLI and the three rounds of ANLI as one task (Phang et al. 2020). 785 SNLI rows have no gold."""

from __future__ import annotations

from itertools import product

from xstilts.data.pairs import NLI_LABELS, read_nli
from xstilts.hyperparameters import Encoding, Training
from xstilts.metrics.classification import accuracy_metric
from xstilts.task_types import Classification
from xstilts.task_types.label_casts import LabelCast
from xstilts.tasks.task import Task


def _layouts(split: str) -> tuple[tuple[str, ...], ...]:
    """Every combination of the names under which MultiNLI and SNLI are published; ANLI has one."""
    mnli = "train" if split == "train" else "dev_matched"
    glue = ("MNLI", "GLUE/MNLI", "glue_data/MNLI")
    mnli_files = (
        f"multinli_1.0/multinli_1.0_{mnli}.jsonl",
        f"multinli_1.0/multinli_1.0_{mnli}.txt",
        f"mnli/multinli_1.0_{mnli}.jsonl",
        *(f"{folder}/{mnli}.tsv" for folder in glue),
    )
    snli_files = (f"snli_1.0/snli_1.0_{split}.jsonl", f"snli_1.0/snli_1.0_{split}.txt", f"snli/snli_1.0_{split}.jsonl")
    rounds = tuple(f"anli_v0.1/R{k}/{split}.jsonl" for k in (1, 2, 3))
    return tuple((*pair, *rounds) for pair in product(mnli_files, snli_files))


TASK = Task(
    name="anli_plus",
    role="intermediate",
    title="ANLI+",
    type=Classification(NLI_LABELS),
    cast=LabelCast("anli_plus:", ("premise", "hypothesis"), NLI_LABELS, ("0", "1", "2")),
    files={"train": _layouts("train"), "dev": _layouts("dev")},
    read=read_nli,
    metric=accuracy_metric,
    main_score=("accuracy",),
    trains_on="anli_plus",
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
    counts={"train": {"en": 1_104_934}},
    paper="arXiv:1910.14599",
    licence="CC BY-NC 4.0 (ANLI); see mnli; CC BY-SA 4.0 (SNLI)",
    address="https://dl.fbaipublicfiles.com/anli/anli_v0.1.zip",
    fetch=(
        "curl -LO https://dl.fbaipublicfiles.com/anli/anli_v0.1.zip && unzip anli_v0.1.zip "
        "&& curl -LO https://nlp.stanford.edu/projects/snli/snli_1.0.zip && unzip snli_1.0.zip "
        "&& curl -LO https://cims.nyu.edu/~sbowman/multinli/multinli_1.0.zip && unzip multinli_1.0.zip"
    ),
    bibtex="""@inproceedings{nie-2020-anli,
  title = {Adversarial NLI: A New Benchmark for Natural Language Understanding},
  author = {Nie, Yixin and Williams, Adina and Dinan, Emily and Bansal, Mohit and Weston, Jason and Kiela, Douwe},
  booktitle = {ACL}, year = 2020}""",
)
