"""What the names in the documentation stand for when its commands are tried: tiny things in one folder. And what is not run.

Nothing is left out silently: a command is run as it is written, run with the changes declared here, or listed with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timed_world
from made_store import made_store, training
from tiny_world import tiny_data, tiny_model, tiny_study, write_study

Call = Callable[..., str]

WORDS = {
    "--data DIR": "DATA",
    "--data pocket": "DATA",
    "--store DIR": "store",
    "--store STORE": "store",
    "--to DIR": "left-the-store",
    "--device cuda:0+1": "cpu+cpu",
    "--device cuda:2+3": "cpu+cpu",
    "--arm A": "mnli",
    "--seed S": "1",
    "--layer 20": "1",
    "pocket pocket": "a-world",
    "pocket DIR": "another-world",
    "stores STORE": "store",
    "OTHER": "store",
    "FILE": "rows.jsonl",
    "[STUDY]": "STUDY",
    "mine=FOLDER": "xlmr=model",
    "xlmr=FOLDER": "xlmr=model",
    "e5-small=FOLDER": "xlmr=model",
    "mine.yaml": "study.yaml",
}
"""A word, or a word behind another, -> what is typed instead. Names that are not here are there as files of the same name."""

BEHIND = {
    "xstilts run": ("--threads", "1"),
    "xstilts export STUDY": ("--partial",),
}
"""The beginning of a command -> what is typed behind it."""

INSTEAD = {
    "xstilts impact STUDY -o impact.md": "xstilts impact small --store timed -o impact.md",
    "xstilts choose --target xnli --max-p99-ms 100": "xstilts choose --target xnli --max-p99-ms 200000 --store timed",
    'xstilts translate qqp --to xx --data DIR --engine "command:my-program {from} {to}"': (
        "xstilts translate qqp --to xx --data DATA --out translated --engine 'command:tr a-z b-za'"
    ),
}
"""Whole commands: a made-up store where measuring takes minutes; any program that gives lines translates."""

NOT_RUN = {
    "xstilts run pocket --data pocket --store store --on ray --threads 1": (
        "needs a Ray cluster; tests/graph/test_graph_cluster.py starts one where ray is installed"
    ),
    (
        "xstilts run study.yaml --data data --store store --on slurm --jobs 4 --slurm partition=gpu --slurm time=240 "
        "--slurm gpus_per_node=1 --slurm cpus_per_task=8 --device cuda:0"
    ): "needs Slurm; tests/slurm has a queue of its own",
    "xstilts bench MODEL --target xnli --data DATA": "starts fresh processes; tests/bench/test_one_model.py waits for them",
    "xstilts bench xxl --target xnli --data DATA --written 1,8,32 --rows 32 --seconds 10": (
        "needs 5 GB of weights; tests/bench has a tiny model that writes"
    ),
    "xstilts data fetch STUDY --data DIR": "asks the hub; tests/hub has one of its own",
    "xstilts data fetch study.yaml --data DATA": "asks the hub; tests/hub has one of its own",
    "xstilts plan STUDY --memory --device cuda:0": "asks a GPU how much memory is free",
    "xstilts shapes xlm-r-xl --random-weights xl --tokenizer XLMR": "writes 13 GB; tests/test_random_models.py does less",
    "xstilts shapes mt5-xxl --random-weights xxl --tokenizer MT5 --dtype bf16 --layers 2": "writes 5 GB; the same test",
    "xstilts translate mnli --to es --data DIR": "needs Apertium; tests/translation has an engine of its own",
    "xstilts translate squad_v1 --to de --data DIR --engine hf:FOLDER": (
        "needs a sequence-to-sequence model; tests/translation/test_seq2seq.py makes one"
    ),
}
"""Commands of ours that are parsed only, and why."""

OTHERS = {
    "ray start --head --port=6379 --include-dashboard=false": "starts a server that stays",
    "ray start --address=HEAD:6379": "joins one on another machine",
    "tail -f store/logs/runs/*.jsonl": "goes on for ever",
    "make install": "installs from a registry",
    "make run": "takes minutes; what it runs is run here",
    "make test": "is what runs this",
    "make docs": "installs from a registry",
    "make check": "is run beside this",
    ".venv/bin/pytest tests/tasks -k xnli": "is a part of what runs this",
    ". .venv/bin/activate": "is for the reader's shell",
    "pip install 'xstilts[hub]'": "installs from a registry",
}
"""Commands that are not ours: looked at, not run, and why."""


def make(home: Path, call: Call, patch: Any) -> None:
    """Everything the commands name, in ``home``; small worlds in the place of whole ones.

    All nodes of the study are there, made up: a run finds them done. What runs compute is tested elsewhere.
    """
    from xstilts import journey, pocket, study_source

    (home / "model").symlink_to(tiny_model())
    for name in ("DATA", "data"):
        (home / name).symlink_to(tiny_data())
    few: dict[str, Any] = {"text_lines": 60, "bitext_lines": 40, "train_rows": 60, "train_questions": 60}
    few |= {"train_choices": 30}
    few |= {"dev_rows": 12, "test_rows": 12, "tatoeba_pairs": 12, "bucc_dev": (8, 3), "bucc_test": (8, 3)}
    whole = pocket.World
    patch.setattr(pocket, "World", lambda **more: whole(**few, **more))
    changes: dict[str, Any] = {"models": {"xlmr": {"path": "model"}}, "languages": ["en", "de"], "splits": ["test"]}
    store = made_store(home, **changes, seeds=[1, 2, 3])
    study = tiny_study(**changes)
    write_study(home, study | {"name": "study"})
    write_study(home, study | {"name": "STUDY"})
    shipped = home / "recipes"
    shipped.mkdir()
    for recipe in journey.RECIPES.glob("*.yaml"):
        if not recipe.stem.startswith("pocket"):
            (shipped / recipe.name).symlink_to(recipe)
    for name in ("STUDY", "pocket", "pocket-text", "pocket-full"):
        write_study(shipped, study | {"name": name})
    write_study(home / "examples", study | {"name": "real-small", "models": {"xlmr": {"path": "../model"}}})
    for of in (journey, study_source):
        patch.setattr(of, "RECIPES", shipped)
    rows = [{"first": "a bcd", "second": "efg h", "text": "a bcd"}, {"first": "i k", "second": "lm", "text": "i k lm"}]
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "lines.txt").write_text("a bcd\nefg h\n")
    timed = timed_world.world(home / "timed")
    timed.measure("xnli", timed_world.xnli_systems())
    timed.save()
    call("xstilts", "run", "STUDY", "--data", "DATA")
    (home / "FOLDER").symlink_to(store.path(training(store, "xnli")) / "model")
    (home / "MODEL").symlink_to(home / "FOLDER")
    (home / "ROWS.jsonl").write_text("".join(json.dumps(row) + "\n" for row in journey.rows(store, "STUDY")))


def typed(words: list[str]) -> list[str]:
    """The words that are typed for those of a command."""
    command = " ".join(words)
    changed = [
        WORDS.get(f"{before} {word}", WORDS.get(word, word)) for before, word in zip(["", *words], words, strict=False)
    ]
    more = [added for begin, added in BEHIND.items() if command.startswith(begin)]
    return [*changed, *(word for added in more for word in added)]
