"""BUCC 2018: parallel sentences mined from two large pools; dev is the published sample, test its training set."""

from __future__ import annotations

from xstilts.data.bitext import read_bucc
from xstilts.hyperparameters import Encoding
from xstilts.metrics.retrieval import mining_metric
from xstilts.task_types import Retrieval
from xstilts.tasks.task import Task


def _layouts(split: str, published: str) -> tuple[tuple[str, ...], ...]:
    """XTREME's names and the published ones, with the gold and without."""
    stems = (f"bucc2018/{{language}}-en.{split}", f"bucc2018/{{language}}-en/{{language}}-en.{published}")
    return tuple((f"{stem}.{{language}}", f"{stem}.en", *gold) for stem in stems for gold in ((f"{stem}.gold",), ()))


TASK = Task(
    name="bucc2018",
    role="target",
    title="BUCC",
    type=Retrieval("mined"),
    group="retrieval",
    languages=("de", "fr", "ru", "zh"),
    files={"dev": _layouts("dev", "sample"), "test": _layouts("test", "training")},
    read=read_bucc,
    metric=mining_metric,
    main_score=("f1",),
    trains_on=None,
    encoding=Encoding(max_length=512),
    marks={"max_length": "read"},
    counts={
        "dev": {"de": 1_038, "fr": 929, "ru": 2_374, "zh": 257},
        "test": {"de": 9_580, "fr": 9_086, "ru": 14_435, "zh": 1_899},
    },
    paper="Zweigenbaum, Sharoff and Rapp 2018 (BUCC workshop)",
    licence="unknown",
    address="https://comparable.limsi.fr/bucc2018/",
    fetch=(
        "for l in de fr ru zh; do for s in sample training; do curl -LO "
        "https://comparable.limsi.fr/bucc2018/bucc2018-$l-en.$s-gold.tar.bz2 "
        "&& tar xjf bucc2018-$l-en.$s-gold.tar.bz2; done; done"
    ),
    bibtex="""@inproceedings{zweigenbaum-2018-bucc,
  title = {Overview of the Third BUCC Shared Task: Spotting Parallel Sentences in Comparable Corpora},
  author = {Zweigenbaum, Pierre and Sharoff, Serge and Rapp, Reinhard},
  booktitle = {Workshop on Building and Using Comparable Corpora}, year = 2018}""",
)
