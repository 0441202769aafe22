"""Readers on rows cut out of the original archives, and on treebanks beside XTREME's own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xstilts.data.ccgbank import read_ccgbank
from xstilts.data.choices import read_cosmosqa, read_hellaswag
from xstilts.data.conll import read_words
from xstilts.data.conllu import read_conllu
from xstilts.data.pairs import read_nli, read_paraphrase
from xstilts.data.squad import read_squad
from xstilts.tasks import load
from xstilts.tasks.task import Reader

pytestmark = pytest.mark.real_data

# pattern under the folder -> reader, language, rows with gold, rows without
SAMPLES: list[tuple[str, Reader, str, int, int]] = [
    ("XNLI-1.0/*.tsv", read_nli, "ar", 2, 0),
    ("XNLI-1.0/*.jsonl", read_nli, "ar", 10, 0),
    ("XNLI-1.0/*.tsv", read_nli, "de", 2, 0),
    ("XNLI-MT-1.0/multinli/*.tsv", read_nli, "en", 20, 0),
    ("multinli_1.0/*.jsonl", read_nli, "en", 15, 0),
    ("multinli_1.0/*.txt", read_nli, "en", 12, 0),
    ("snli_1.0/*.txt", read_nli, "en", 6, 0),
    ("anli_v0.1/R*/*.jsonl", read_nli, "en", 24, 0),
    ("GLUE/MNLI/*.tsv", read_nli, "en", 7, 2),
    ("GLUE/QQP/*.tsv", read_paraphrase, "en", 5, 1),
    ("paws_wiki_labeled_final/final/*.tsv", read_paraphrase, "en", 12, 0),
    ("x-final/*/*.tsv", read_paraphrase, "en", 72, 0),
    ("hellaswag/*.jsonl", read_hellaswag, "en", 4, 2),
    ("cosmosqa/*", read_cosmosqa, "en", 2, 2),
]


@pytest.mark.parametrize(("pattern", "read", "language", "labelled", "bare"), SAMPLES)
def test_original_archives(
    real_data: Path, pattern: str, read: Reader, language: str, labelled: int, bare: int
) -> None:
    paths = sorted((real_data / "original_format_samples").glob(pattern))
    labels = [example.label for path in paths for example in read((path,), language)]
    assert len(labels) - labels.count(None) == labelled
    assert labels.count(None) == bare


def test_published_panx_loses_its_prefix(real_data: Path) -> None:
    paths = sorted((real_data / "original_format_samples/panx_dataset").iterdir())
    for path in paths:
        code = path.name[:2]
        (example,) = load("panx").read((path,), code)
        assert example.tags and not any(word.startswith(f"{code}:") for word in example.words)
    assert len(paths) == 84


def test_tydiqa_in_one_file(real_data: Path) -> None:
    path = real_data / "original_format_samples/tydiqa/tydiqa-goldp-v1.1-train.json"
    assert [len(list(read_squad((path,), code))) for code in ("fi", "en")] == [2, 0]


def test_other_sets_in_the_same_formats(real_data: Path) -> None:
    def total(examples: Iterator[Any]) -> int:
        return sum(1 for _ in examples)

    assert total(read_paraphrase((real_data / "mrpc/msr_paraphrase_train.txt",), "en")) == 4_076
    assert total(read_nli((real_data / "snli/snli_1.0_dev.jsonl",), "en")) == 5_000
    assert total(read_nli((real_data / "anli_v0.1/R1/test.jsonl",), "en")) == 1_000
    assert total(read_nli((real_data / "XNLI-1.0/xnli.dev.tsv",), "sw")) == 120
    assert total(read_squad((real_data / "lareqa/xquad-r/en.json",), "en")) == 1_190
    assert total(read_words((real_data / "wnut17/wnut17train.conll",), "en")) == 3_394
    assert total(read_words((real_data / "masakhaner2/swa/dev.txt",), "sw")) == 942


def test_both_ccgbank_trees(real_data: Path) -> None:
    first, second = read_ccgbank((real_data / "ccg/wsj_0001.auto",), "en")
    assert " ".join(second.words) == "Mr. Vinken is chairman of Elsevier N.V. , the Dutch publishing group ."
    assert second.tags is not None and second.tags[2] == "(S[dcl]\\NP)/NP"
    assert (len(first.words), len(second.words)) == (18, 13)


TREEBANKS = [  # treebank file -> XTREME's file, first sentence there, sentences in common (then XTREME's file is cut)
    ("UD_English-EWT/en_ewt-ud-train", "train-en", 0, 9_213),
    ("UD_English-EWT/en_ewt-ud-dev", "dev-en", 0, 1_000),
    ("UD_Telugu-MTG/te_mtg-ud-dev", "dev-te", 0, 131),
    ("UD_German-GSD/de_gsd-ud-test", "test-de", 0, 309),
    ("UD_French-GSD/fr_gsd-ud-test", "test-fr", 2_301, 184),
    ("UD_Turkish-IMST/tr_imst-ud-test", "test-tr", 2_802, 363),
    ("UD_Tamil-TTB/ta_ttb-ud-test", "test-ta", 0, 120),
    ("UD_Finnish-TDT/fi_tdt-ud-test", "test-fi", 2_867, 41),
    ("UD_Arabic-PUD/ar_pud-ud-test", "test-ar", 680, 44),
    ("UD_Vietnamese-VTB/vi_vtb-ud-test", "test-vi", 0, 800),
    ("UD_Chinese-GSD/zh_gsd-ud-test", "test-zh", 451, 229),
    ("UD_Yoruba-YTB/yo_ytb-ud-test", "test-yo", 0, 100),
]


@pytest.mark.parametrize(("treebank", "name", "first", "common"), TREEBANKS)
def test_treebanks_read_as_xtreme_reads_them(
    real_data: Path, treebank: str, name: str, first: int, common: int
) -> None:
    """Word for word, fused forms included; tag for tag where XTREME's file has tags."""
    code = name[-2:]
    ours = list(read_conllu((real_data / f"ud-treebanks-v2.5/{treebank}.conllu",), code))[:common]
    theirs = list(read_words((real_data / f"udpos/{name}.tsv",), code))[first : first + common]
    assert len(ours) == common
    assert [e.words for e in ours] == [e.words for e in theirs]
    if not name.startswith("test"):
        assert [e.tags for e in ours] == [e.tags for e in theirs]


@pytest.mark.parametrize("code", ["te", "th", "tl", "vi", "yo"])
def test_treebank_tags_equal_the_gold_labels(real_data: Path, code: str) -> None:
    from xstilts.data.gold import attach_tags

    task, texts = load("udpos"), real_data / f"udpos/test-{code}.tsv"
    gold = attach_tags(list(read_words((texts,), code)), real_data / f"labels/udpos/test-{code}.tsv", (), texts.name)
    paths = tuple(sorted(real_data.glob(f"ud-treebanks-v2.5/*/{code}_*-ud-test.conllu")))
    ours = list(task.read(paths, code))
    assert [e.tags for e in ours] == [e.tags for e in gold][: len(ours)]
