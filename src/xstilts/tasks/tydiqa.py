"""TyDiQA-GoldP: questions asked without seeing the answer, 9 languages (Clark et al. 2020).

Its public dev set is the test.
"""

from __future__ import annotations

from xstilts.data.squad import read_squad
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.qa import squad_metric
from xstilts.task_types import Span
from xstilts.tasks.task import Task

TASK = Task(
    name="tydiqa",
    role="target",
    title="TyDiQA-GoldP",
    type=Span(),
    group="qa",
    languages=codes("ar bn en fi id ko ru sw te"),
    files={
        "train": (
            ("tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{language}.train.json",),
            ("tydiqa/tydiqa-goldp-v1.1-train/tydiqa.{language}.train.json",),
            ("tydiqa/tydiqa.goldp.{language}.train.json",),
            ("xtreme_translations/TyDiQA-GoldP/translate-train/tydiqa.translate.train.en-{language}.json",),
            ("tydiqa/tydiqa-goldp-v1.1-train.json",),
            ("tydiqa/tydiqa-goldp-v1.1-train/tydiqa-goldp-v1.1-train.json",),
        ),
        "test": (
            ("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{language}.dev.json",),
            ("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{name}.json",),
            ("tydiqa/tydiqa.goldp.{language}.dev.json",),
            ("tydiqa/tydiqa-goldp-v1.1-dev.json",),
            ("labels/tydiqa/test-{language}.json",),
        ),
    },
    read=read_squad,
    metric=squad_metric,
    main_score=("exact_match", "f1"),
    trains_on="tydiqa",
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
        "train": {"en": 3_696},
        "test": {"en": 440, "fi": 782, "id": 565, "ko": 276, "sw": 499},
    },
    paper="arXiv:2003.05002",
    licence="Apache-2.0",
    address="https://storage.googleapis.com/tydiqa/v1.1/tydiqa-goldp-v1.1-train.json",
    fetch=(
        "mkdir -p tydiqa && cd tydiqa && curl -LO https://storage.googleapis.com/tydiqa/v1.1/tydiqa-goldp-v1.1-train.json "
        "&& curl -LO https://storage.googleapis.com/tydiqa/v1.1/tydiqa-goldp-v1.1-dev.tgz "
        "&& tar xzf tydiqa-goldp-v1.1-dev.tgz"
    ),
    bibtex="""@article{clark-2020-tydiqa,
  title = {TyDi QA: A Benchmark for Information-Seeking Question Answering in Typologically Diverse Languages},
  author = {Clark, Jonathan H. and Choi, Eunsol and Collins, Michael and Garrette, Dan and Kwiatkowski, Tom and others},
  journal = {TACL}, year = 2020}""",
)
