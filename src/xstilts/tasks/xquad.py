"""XQuAD: 240 paragraphs of SQuAD's dev set translated into 10 languages (Artetxe et al. 2020). Test only."""

from __future__ import annotations

from xstilts.data.squad import read_squad
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.qa import squad_metric
from xstilts.task_types import Span
from xstilts.tasks.task import Task

_LANGUAGES = codes("ar de el en es hi ru th tr vi zh")

TASK = Task(
    name="xquad",
    role="target",
    title="XQuAD",
    type=Span(),
    group="qa",
    languages=_LANGUAGES,
    parallel=True,
    files={"test": (("xquad/xquad.{language}.json",),)},
    read=read_squad,
    metric=squad_metric,
    main_score=("exact_match", "f1"),
    trains_on="squad_v1",
    training=Training(learning_rate=3e-5, epochs=3, batch_size=32, warmup=500, weight_decay=1e-4, selection="last"),
    encoding=Encoding(max_length=384, stride=128),
    marks={
        "learning_rate": "read",
        "epochs": "read",
        "batch_size": "read",
        "warmup": "read",
        "weight_decay": "read",
        "selection": "read",
        "max_length": "read",
        "stride": "read",
    },
    counts={"test": dict.fromkeys(_LANGUAGES, 1_190)},
    paper="arXiv:1910.11856",
    licence="CC BY-SA 4.0",
    address="https://github.com/google-deepmind/xquad",
    fetch=("git clone https://github.com/google-deepmind/xquad xquad"),
    bibtex="""@inproceedings{artetxe-2020-xquad,
  title = {On the Cross-lingual Transferability of Monolingual Representations},
  author = {Artetxe, Mikel and Ruder, Sebastian and Yogatama, Dani},
  booktitle = {ACL}, year = 2020}""",
)
