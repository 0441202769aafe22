"""MLQA: extractive question answering in 7 languages, context and question in the same one (Lewis et al. 2020)."""

from __future__ import annotations

from xstilts.data.squad import read_squad
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.qa import mlqa_metric
from xstilts.task_types import Span
from xstilts.tasks.task import Task

TASK = Task(
    name="mlqa",
    role="target",
    title="MLQA",
    type=Span(),
    group="qa",
    languages=codes("ar de en es hi vi zh"),
    files={
        split: (
            (f"mlqa/MLQA_V1/{split}/{split}-context-{{language}}-question-{{language}}.json",),
            (f"MLQA_V1/{split}/{split}-context-{{language}}-question-{{language}}.json",),
        )
        for split in ("dev", "test")
    },
    read=read_squad,
    metric=mlqa_metric,
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
    counts={
        "dev": {"en": 1_148, "ar": 517, "de": 512, "es": 500, "hi": 507, "vi": 511, "zh": 504},
        "test": {"en": 11_590, "ar": 5_335, "de": 4_517, "es": 5_253, "hi": 4_918, "vi": 5_495, "zh": 5_137},
    },
    paper="arXiv:1910.07475",
    licence="CC BY-SA 3.0",
    address="https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip",
    fetch=("curl -LO https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip && unzip MLQA_V1.zip -d mlqa"),
    bibtex="""@inproceedings{lewis-2020-mlqa,
  title = {MLQA: Evaluating Cross-lingual Extractive Question Answering},
  author = {Lewis, Patrick and Oguz, Barlas and Rinott, Ruty and Riedel, Sebastian and Schwenk, Holger},
  booktitle = {ACL}, year = 2020}""",
)
