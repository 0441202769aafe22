"""Small datasets as the hub holds them, the same rows as files written by hand, and the command line against a server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from server import Hub

from tiny_world import CLI, environment
from xstilts.tasks import load

NLI = ("entailment", "neutral", "contradiction")
UPOS = tuple(load("udpos").type.labels)  # type: ignore[attr-defined]
XTREME = "google/xtreme"
TEXTS = "tests/texts"
Rows = Sequence[Mapping[str, Any]]


def parquet(rows: Rows, group: int | None = None) -> bytes:
    """A parquet file, in row groups of so many rows."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out, row_group_size=group)
    return out.getvalue()


def dataset(configs: Mapping[str, Mapping[str, Rows]], features: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """The files of a dataset repository: a card that names configs, splits and class labels, and parquet files."""
    files, card = {}, []
    for config, splits in configs.items():
        listed = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
        card.append({"config_name": config, "data_files": listed})
        for split, rows in splits.items():
            files[f"{config}/{split}-00000-of-00001.parquet"] = parquet(rows)
    told: dict[str, Any] = {"configs": card}
    if features:
        told["dataset_info"] = [{"config_name": c, "features": f} for c, f in features.items()]
    files["README.md"] = f"---\n{yaml.safe_dump(told)}---\n# A dataset\n".encode()
    return files


def class_label(names: Sequence[str]) -> dict[str, Any]:
    """A class label's type as a card writes it."""
    return {"class_label": {"names": {str(k): name for k, name in enumerate(names)}}}


def nli_features(names: Sequence[str] = NLI) -> list[dict[str, Any]]:
    """Premise, hypothesis and a class label, in the given order of names."""
    texts = [{"name": name, "dtype": "string"} for name in ("premise", "hypothesis")]
    return [*texts, {"name": "label", "dtype": class_label(names)}]


def xnli_rows(split: str) -> list[dict[str, str]]:
    """A mixed table of three languages."""
    return [
        {
            "language": language,
            "sentence1": f'{language} "{split}" one {k}',
            "sentence2": f"two\tof {k}",
            "gold_label": NLI[k % 3],
        }
        for k in range(6)
        for language in ("de", "en", "sw")
    ]


def mnli_rows(count: int) -> list[dict[str, Any]]:
    """Labels as numbers, in the order of ``NLI``."""
    return [{"premise": f"it rains {k}", "hypothesis": f"no sun {k}", "label": k % 3} for k in range(count)]


def tag_rows(language: str, count: int) -> list[dict[str, Any]]:
    """Sentences of two words; one word holds a space, which XTREME takes out."""
    return [{"tokens": [f"{language}o {k}", "runs"], "pos_tags": [UPOS.index("NOUN"), k % 17]} for k in range(count)]


def bitext_rows(language: str) -> list[dict[str, str]]:
    """Aligned lines, each with its line break, as the hub has them; not in alphabetical order."""
    english = ["we go", "a cat", "the sun", "my dog"]
    return [{"source_sentence": f"{language} {e}\n", "target_sentence": f"{e}\n"} for e in english]


def tags_features() -> list[dict[str, Any]]:
    """Words and class labels."""
    words: dict[str, Any] = {"name": "tokens", "list": "string"}
    return [words, {"name": "pos_tags", "list": class_label(UPOS)}]


def text_rows(language: str, count: int, first: int = 0) -> list[dict[str, Any]]:
    """Articles: the third has line breaks inside, the fourth none but those, the fifth is missing."""
    odd = {2: f"{language} two\n\n  lines\r\nof two ", 3: " \n", 4: None}
    return [{"id": str(k), "text": odd.get(k, f"{language} text {k}")} for k in range(first, first + count)]


def text_dataset(mark: str = "") -> dict[str, bytes]:
    """Text in two languages, a config each, a licence in the card; German in two files, the second after 6 rows."""
    rows = {"2026.de": text_rows(f"{mark}de", 6), "2026.en": text_rows(f"{mark}en", 9)}
    files = dataset({config: {"train": part} for config, part in rows.items()})
    second = "2026.de/train-00001-of-00002.parquet"
    files[second] = parquet(text_rows(f"{mark}de", 6, first=6), group=2)
    files["2026.de/train-00000-of-00002.parquet"] = files.pop("2026.de/train-00000-of-00001.parquet")
    card = files["README.md"].replace(b"---\n", b"---\nlicense: [cc-by-sa-3.0, gfdl]\n", 1)
    return {**files, "README.md": card}


def put_model(hub: Hub, identity: str, folder: Path) -> str:
    """A folder as a model repository; its commit."""
    return hub.commit("models", identity, {p.name: p.read_bytes() for p in folder.iterdir()})


def fill(hub: Hub) -> None:
    """The datasets that the studies of these tests need."""
    configs: dict[str, dict[str, Rows]] = {
        "XNLI": {"validation": xnli_rows("dev"), "test": xnli_rows("test")},
        "udpos.English": {"train": tag_rows("en", 8), "validation": tag_rows("en", 4), "test": tag_rows("en", 6)},
        "udpos.German": {"train": tag_rows("de", 4), "validation": tag_rows("de", 4), "test": tag_rows("de", 5)},
        "tatoeba.deu": {"validation": bitext_rows("de")},
    }
    features = {name: tags_features() for name in configs if name.startswith("udpos")}
    hub.commit("datasets", XTREME, dataset(configs, features))
    mnli: dict[str, dict[str, Rows]] = {
        "default": {"train": mnli_rows(18), "validation_matched": mnli_rows(9), "validation_mismatched": mnli_rows(3)}
    }
    hub.commit("datasets", "nyu-mll/multi_nli", dataset(mnli, {"default": nli_features()}))
    hub.commit("datasets", TEXTS, text_dataset())


def write_by_hand(root: Path) -> Path:
    """The same rows as published files, without the hub."""
    files: dict[str, str] = {}
    for split in ("dev", "test"):
        for language in ("de", "en", "sw"):
            files[f"xnli/{split}-{language}.tsv"] = "".join(
                f'"{language} ""{split}"" one {k}"\t"two\tof {k}"\t{NLI[k % 3]}\n' for k in range(6)
            )
    for name, count in (("train", 18), ("dev_matched", 9)):
        rows = [
            {"gold_label": NLI[k % 3], "sentence1": f"it rains {k}", "sentence2": f"no sun {k}"} for k in range(count)
        ]
        files[f"multinli_1.0/multinli_1.0_{name}.jsonl"] = "".join(f"{json.dumps(row)}\n" for row in rows)
    for split, language, count in (
        ("train", "en", 8),
        ("dev", "en", 4),
        ("dev", "de", 4),
        ("test", "en", 6),
        ("test", "de", 5),
    ):
        files[f"udpos/{split}-{language}.tsv"] = "".join(
            f"{language}o{k}\tNOUN\nruns\t{UPOS[k % 17]}\n\n" for k in range(count)
        )
    files["tatoeba/tatoeba.deu-eng.eng"] = "we go\na cat\nthe sun\nmy dog\n"
    files["tatoeba/tatoeba.deu-eng.deu"] = "de we go\nde a cat\nde the sun\nde my dog\n"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


class Machine:
    """A user's machine: its own HF_HOME, a data folder, and a hub that may be out of reach.

    Args:
        home: an empty folder.
        url: the hub's address.
        warm: work in one process that stays (one more for work without a network), and not in a new one each time; close
            it at the end.
        token: the user's, in ``HF_TOKEN``.
    """

    def __init__(self, home: Path, url: str, *, warm: bool = False, token: str = "") -> None:
        self.home, self.url, self.warm, self.token = home, url, warm, token
        self.data = home / "data"
        self._processes: dict[bool, subprocess.Popen[str]] = {}

    def environment(self, offline: bool = False) -> dict[str, str]:
        """Nothing of the real user's settings; no wait for an answer is long."""
        kept = {k: v for k, v in environment().items() if not k.startswith("HF_")}
        own = {"HF_HOME": str(self.home / "hf"), "HF_ENDPOINT": self.url, "HOME": str(self.home)}
        own |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_ETAG_TIMEOUT": "5", "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
        own |= {"HF_TOKEN": self.token} if self.token else {}
        return {**kept, **own, **({"HF_HUB_OFFLINE": "1"} if offline else {})}

    def run(self, *arguments: object, expect: int = 0, offline: bool = False) -> tuple[str, str]:
        """The real command line: standard output and standard error."""
        words = list(map(str, arguments))
        if self.warm:
            status, out, err = self._ask(words, offline)
        else:
            done = subprocess.run(
                [*CLI, *words], capture_output=True, text=True, env=self.environment(offline), timeout=140, check=False
            )
            status, out, err = done.returncode, done.stdout, done.stderr
        assert status == expect, f"exit {status}\n{out[-2000:]}\n{err[-3000:]}"
        return out, err

    def _ask(self, words: list[str], offline: bool) -> tuple[int, str, str]:
        if offline not in self._processes:
            self._processes[offline] = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("warm.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment(offline),
            )
        process = self._processes[offline]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()
        status, out, err = json.loads(process.stdout.readline())
        return status, out, err

    def fetch(self, study: Path, *more: object, expect: int = 0, offline: bool = False) -> dict[str, Any]:
        """``xstilts data fetch --json -``; what was said on the way under ``stderr``."""
        words = ("data", "fetch", study, "--data", self.data, "--json", "-", *more)
        out, err = self.run(*words, expect=expect, offline=offline)
        found: dict[str, Any] = json.loads(out) if out.strip() else {}
        return {**found, "stderr": err}

    def ledger(self) -> dict[str, Any]:
        """``hub.json``."""
        found: dict[str, Any] = json.loads((self.data / "hub.json").read_text())
        return found

    def close(self) -> None:
        """End the processes that stay."""
        for process in self._processes.values():
            process.communicate()


def files_under(root: Path) -> set[str]:
    """Every file of a folder but the ledger and its lock."""
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} if root.is_dir() else set[str]()
    return found - {"hub.json", ".hub.lock"}
