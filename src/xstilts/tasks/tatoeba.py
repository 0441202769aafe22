"""Tatoeba: each English sentence finds its translation among up to 1,000, in 36 languages (Artetxe and Schwenk 2019)."""

from __future__ import annotations

from xstilts.data.bitext import read_tatoeba
from xstilts.hyperparameters import Encoding
from xstilts.languages import codes
from xstilts.metrics.retrieval import nearest_metric
from xstilts.task_types import Retrieval
from xstilts.tasks.task import Task

_LANGUAGES = codes(
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi zh"
)
_SMALL = {"jv": 205, "te": 234, "ta": 307, "sw": 390, "th": 548, "kk": 575, "ml": 687, "ka": 746}

TASK = Task(
    name="tatoeba",
    role="target",
    title="Tatoeba",
    type=Retrieval("nearest"),
    group="retrieval",
    languages=_LANGUAGES,
    files={
        "test": (
            ("tatoeba/{language}-en.{language}", "tatoeba/{language}-en.en"),
            ("LASER/data/tatoeba/v1/tatoeba.{iso3}-eng.{iso3}", "LASER/data/tatoeba/v1/tatoeba.{iso3}-eng.eng"),
            ("tatoeba/tatoeba.{iso3}-eng.{iso3}", "tatoeba/tatoeba.{iso3}-eng.eng"),
        )
    },
    read=read_tatoeba,
    metric=nearest_metric,
    main_score=("accuracy",),
    trains_on=None,
    encoding=Encoding(max_length=512),
    marks={"max_length": "read"},
    counts={"test": {language: _SMALL.get(language, 1_000) for language in _LANGUAGES}},
    paper="arXiv:1812.10464",
    licence="Tatoeba's terms of use",
    address="https://github.com/facebookresearch/LASER/tree/main/data/tatoeba/v1",
    fetch="git clone --depth 1 https://github.com/facebookresearch/LASER LASER",
    bibtex="""@article{artetxe-schwenk-2019-laser,
  title = {Massively Multilingual Sentence Embeddings for Zero-Shot Cross-Lingual Transfer and Beyond},
  author = {Artetxe, Mikel and Schwenk, Holger},
  journal = {TACL}, year = 2019}""",
)
