"""udpos: part-of-speech tags of Universal Dependencies 2.5 in 33 languages, scored by chunk F1 (FACTS 2.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xstilts.data.conll import UPOS, read_words
from xstilts.data.conllu import read_conllu
from xstilts.data.files import suffix
from xstilts.hyperparameters import Encoding, Training
from xstilts.languages import codes
from xstilts.metrics.tagging import pos_metric
from xstilts.task_types import Tagging, TaggingExample
from xstilts.task_types.tagging_casts import TagCast
from xstilts.tasks.task import Task


def read(paths: tuple[Path, ...], language: str) -> Iterator[TaggingExample]:
    """XTREME's word-and-tag files, or treebanks in CoNLL-U."""
    if suffix(paths[0]) == ".conllu":
        return read_conllu(paths, language)
    return read_words(paths, language, UPOS)


TASK = Task(
    name="udpos",
    role="target",
    title="POS",
    type=Tagging(UPOS),
    cast=TagCast("pos:", UPOS),
    group="tagging",
    languages=codes(
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"
    ),
    without_dev=("kk", "th", "tl", "yo"),  # FACTS 2.1
    files={
        split: (
            (f"udpos/{split}-{{language}}.tsv",),
            (f"ud-treebanks-v2.5/*/{{language}}_*-ud-{split}.conllu",),
        )
        for split in ("train", "dev", "test")
    },
    read=read,
    metric=pos_metric,
    main_score=("f1",),
    trains_on="udpos",
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
    counts={"train": {"en": 21_253}, "dev": {"en": 3_974}},
    paper="arXiv:2004.10643",
    licence="per treebank",
    address="https://hdl.handle.net/11234/1-3105",
    fetch="download ud-treebanks-v2.5.tgz from https://hdl.handle.net/11234/1-3105 && tar xzf ud-treebanks-v2.5.tgz",
    bibtex="""@inproceedings{nivre-2020-ud,
  title = {Universal Dependencies v2: An Evergrowing Multilingual Treebank Collection},
  author = {Nivre, Joakim and de Marneffe, Marie-Catherine and Ginter, Filip and Hajic, Jan and others},
  booktitle = {LREC}, year = 2020}""",
)
