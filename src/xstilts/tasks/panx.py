"""panx: named entities of WikiAnn (PAN-X) in 40 languages, in the balanced splits of Rahimi et al. 2019."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xstilts.data.conll import NER_TAGS, read_words
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.tagging import ner_metric
from xstilts.task_types import Tagging, TaggingExample
from xstilts.tasks.task import Task


def read(paths: tuple[Path, ...], language: str) -> Iterator[TaggingExample]:
    """Words with IOB2 tags of three entity types, with or without the published ``LL:`` prefix."""
    return read_words(paths, language, NER_TAGS)


TASK = Task(
    name="panx",
    role="target",
    title="NER",
    type=Tagging(NER_TAGS),
    group="tagging",
    languages=codes(
        "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv "
        "ka kk ko ml mr ms my nl pt ru sw ta te th tl tr ur vi yo zh"
    ),
    files={
        split: ((f"panx/{split}-{{language}}.tsv",), (f"panx_dataset/{{language}}-{split}",))
        for split in ("train", "dev", "test")
    },
    read=read,
    metric=ner_metric,
    main_score=("f1",),
    trains_on="panx",
    training=Training(learning_rate=2e-5, epochs=10, batch_size=32, warmup=0.0, weight_decay=0.0),
    encoding=Encoding(max_length=128),
    marks={
        "learning_rate": "read",
        "epochs": "read",
        "batch_size": "read",
        "warmup": "read",
        "weight_decay": "read",
        "selection": "read",
        "max_length": "read",
        "evaluations_per_epoch": "choice",
        "selection_rows": "choice",
    },
    counts={
        "train": {"en": 20_000},
        "test": {
            **dict.fromkeys(codes("af bn hi kk ml mr ms sw ta te tl ur"), 1_000),
            **dict.fromkeys(codes("jv my yo"), 100),
        },
    },
    paper="ACL:P17-1178, arXiv:1902.00193",
    licence="unknown",
    address="https://www.amazon.com/clouddrive/share/d3KGCRCIYwhKJF0H3eWA26hjg2ZCRhjpEQtDL70FSBN",
    fetch="no command: the published link is dead; google-research/xtreme issue 101 names a mirror of AmazonPhotos.zip",
    bibtex="""@inproceedings{pan-2017-panx,
  title = {Cross-lingual Name Tagging and Linking for 282 Languages},
  author = {Pan, Xiaoman and Zhang, Boliang and May, Jonathan and Nothman, Joel and Knight, Kevin and Ji, Heng},
  booktitle = {ACL}, year = 2017}""",
)
