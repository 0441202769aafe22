"""Every row of the real data folder is read: the numbers are those of the folder's own table."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from xstilts.tasks import load
from xstilts.tasks.folder import DataFolder, count_rows, read_examples

pytestmark = pytest.mark.real_data


def numbers(text: str) -> dict[str, int]:
    """``"ar 1 de 2"`` -> rows by language."""
    fields = text.split()
    return dict(zip(fields[::2], map(int, fields[1::2]), strict=True))


def all_of(languages: str, rows: int) -> dict[str, int]:
    """The same number of rows for each language."""
    return dict.fromkeys(languages.split(), rows)


ROWS: dict[tuple[str, str], dict[str, int]] = {
    ("xnli", "train"): numbers("en 8815"),
    ("xnli", "dev"): all_of("ar de en es fr hi ru sw tr vi zh", 2490),
    ("xnli", "test"): numbers("en 5010 zh 5010"),
    ("pawsx", "dev"): numbers("de 2000 en 2000 es 2000 fr 2000 ja 2000 zh 2000"),
    ("pawsx", "test"): numbers("de 2000 en 2000"),
    ("udpos", "train"): numbers("en 9213 te 1051"),
    ("udpos", "dev"): numbers(
        "ar 615 de 1368 en 2976 es 693 fa 599 fi 2279 fr 1026 hi 699 id 559 ja 511 ko 1372 ru 767 ta 80 te 131 "
        "tr 988 vi 800 zh 932"
    ),
    ("udpos", "test"): numbers(
        "ar 724 de 2157 en 3363 es 1436 fa 600 fi 2908 fr 3249 hi 954 id 1557 ja 1935 ko 2335 ru 1167 ta 120 te 146 "
        "th 810 tl 55 tr 4295 vi 800 yo 100 zh 2658"
    ),
    ("panx", "train"): numbers("en 400"),
    ("panx", "dev"): numbers(
        "ar 343 bn 358 de 378 en 140 es 378 fa 355 fi 393 fr 393 hi 351 id 348 it 408 ja 381 jv 49 ko 449 ml 407 "
        "my 48 nl 376 pt 368 ru 407 sw 268 ta 408 te 237 th 359 tl 376 tr 402 vi 341 yo 46 zh 381"
    ),
    ("panx", "test"): numbers(
        "ar 344 bn 358 de 379 en 137 es 379 fa 356 fi 394 fr 393 hi 351 id 349 it 409 ja 381 jv 50 ko 449 ml 408 "
        "my 48 nl 376 pt 369 ru 408 sw 269 ta 409 te 237 th 360 tl 377 tr 403 vi 342 yo 47 zh 382"
    ),
    ("xquad", "test"): all_of("ar de en es hi th tr vi zh", 1190),
    ("mlqa", "dev"): numbers("ar 150 de 512 en 1148 es 500 hi 151 zh 504"),
    ("mlqa", "test"): numbers("ar 24 de 9 en 25 es 8 hi 21 zh 2"),
    ("tydiqa", "train"): numbers("en 3696"),
    ("tydiqa", "test"): numbers("en 440 fi 782 id 565 ko 276 sw 499"),
    ("bucc2018", "dev"): numbers("zh 257"),
    ("tatoeba", "test"): numbers("jv 205 sw 390 ta 307 te 234 th 548")
    | all_of("ar bn de es fa fi fr hi id it ja ko nl pt ru tl tr vi zh", 1000),
    ("mnli", "dev"): numbers("en 4000"),
    ("squad_v1", "train"): numbers("en 1027"),
    ("squad_v1", "dev"): numbers("en 2107"),
    ("squad_v2", "dev"): numbers("en 4449"),
    ("hellaswag", "train"): numbers("en 2368"),
    ("hellaswag", "dev"): numbers("en 500"),
    ("ccg", "dev"): numbers("en 2"),
    ("cosmosqa", "dev"): numbers("en 1500"),
    ("commonsense_qa", "train"): numbers("en 5000"),
    ("commonsense_qa", "dev"): numbers("en 1221"),
}
NO_GOLD = {"pawsx": {"en"}, "udpos": set(ROWS["udpos", "test"]) - {"te", "th", "tl", "vi", "yo"}}


@pytest.mark.parametrize(("name", "split"), ROWS)
def test_rows_equal_the_table(real_data: Path, name: str, split: str) -> None:
    task, data = load(name), DataFolder(real_data)
    found = {}
    for language in data.languages(task, split):
        paths = data.files(task, split, language)
        examples = read_examples(task, paths, language, data.gold_files(task, split, language))
        found[language] = count_rows(examples)
        expected = not (split == "test" and language in NO_GOLD.get(name, ()))
        assert all((task.type.gold(example) is not None) == expected for example in examples)
        assert len({example.id for example in examples}) == len(examples)
    assert found == ROWS[name, split]


def test_nothing_else_is_found(real_data: Path) -> None:
    data = DataFolder(real_data)
    found = {
        (name, split)
        for name in ("anli_plus", "qqp", *{name for name, _ in ROWS})
        for split in load(name).files
        if data.languages(load(name), split)
    }
    assert found == set(ROWS)


STAND_INS = [
    ("anli_plus", ("snli/snli_1.0_dev.jsonl", "anli_v0.1/R1/test.jsonl"), 6_000),
    ("mnli", ("mnli/multinli_1.0_dev_matched.jsonl",), 4_000),
    ("squad_v2", ("squad/dev-v2.0.json",), 4_449),
    ("pawsx", ("mrpc/msr_paraphrase_train.txt",), 4_076),
    ("pawsx", ("x-final/de/dev_2k.tsv",), 2_000),
]


@pytest.mark.parametrize(("name", "files", "rows"), STAND_INS)
def test_a_study_can_train_on_other_files(real_data: Path, name: str, files: tuple[str, ...], rows: int) -> None:
    task = load(name)
    data = DataFolder(real_data, {f"{name}.train": [Path(file) for file in files]})
    examples = read_examples(task, data.files(task, "train", "en"), "en")
    assert len({example.id for example in examples}) == rows
    assert all(task.type.gold(example) is not None for example in examples)


def test_published_counts_agree_where_a_file_is_whole(real_data: Path) -> None:
    whole = [("xnli", "test"), ("pawsx", "dev"), ("xquad", "test"), ("tydiqa", "train"), ("tydiqa", "test")]
    whole += [("tatoeba", "test"), ("bucc2018", "dev")]
    for name, split in whole:
        published = load(name).counts[split]
        assert {code: rows for code, rows in ROWS[name, split].items() if published[code] != rows} == {}


def test_forty_thousand_rows_take_less_than_a_second(real_data: Path) -> None:
    path = real_data / "xnli/train-en.tsv"
    seconds = []
    for _ in range(3):
        start = time.process_time()
        assert len(read_examples(load("xnli"), (path,) * 5, "en")) == 5 * 8_815
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0
