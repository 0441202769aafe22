"""Ours and the peers, in turn, on the same rows: ``make bench``, ``make bench-quick``.

    python -m benchmarks.suite [LINE ...] [--data DATA] [--model FOLDER | --shape small] [--rounds 5] [--quick] [--out STEM]

Without ``--data`` rows are made up, as long as the real ones; without ``--model`` weights are random. Both stand in the
record. Prints a table; ``--out STEM`` writes STEM.md and STEM.jsonl, one line for each race. Exits with 1 when contenders do
not agree.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

# Before tokenizers are loaded: a pipeline would switch its threads off for the whole process.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from benchmarks.alone import peak_memory, run
from benchmarks.lines import LINES
from benchmarks.measure import environment, interleaved, record
from benchmarks.race import Race
from benchmarks.random_encoder import SHAPES, make_encoder
from benchmarks.setting import Setting
from benchmarks.table import markdown
from xstilts.bench.peak import matrix_product_flops_per_s
from xstilts.errors import XstiltsError
from xstilts.models.precision import Precision

PRECISIONS = get_args(Precision)
FLOAT32_ALONE = ("packing", "search")
"""Lines that are measured in float32 only."""
QUICK: dict[str, Any] = {"rows": 64, "training_rows": 64, "curve_steps": 8, "search_rows": 3000}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("lines", nargs="*", metavar="LINE", help=f"{', '.join(LINES)}; all of them by default")
    made.add_argument("--data", type=Path, help="data folder with xnli, udpos, xquad and tatoeba (en, zh)")
    model = made.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, help="folder of an encoder of a verified family")
    model.add_argument("--shape", choices=SHAPES, help="of random weights: small by default, tiny with --quick")
    made.add_argument("--quick", action="store_true", help="few rows, three rounds, no peak memory: under five minutes")
    made.add_argument("--rounds", type=int, help="5 by default")
    made.add_argument("--rows", type=int, default=512, help="test rows of one timed pass")
    made.add_argument("--training-rows", type=int, default=128, help="training rows of one timed pass")
    made.add_argument("--curve-steps", type=int, default=60, help="steps of the loss curves that are compared")
    made.add_argument("--search-rows", type=int, default=20_000, help="vectors of either side")
    made.add_argument("--threads", type=int, help="of torch and faiss; torch's own choice by default")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of ours and the peers")
    made.add_argument("--only", default="", help="races whose name has this in it")
    made.add_argument("--out", type=Path, help="also write OUT.jsonl and OUT.md")
    made.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)  # of the process that started this one
    made.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)  # race and contender, for peak memory
    return made


def setting_of(arguments: argparse.Namespace, scratch: Path) -> Setting:
    """What the arguments say; makes the random encoder."""
    model, random = arguments.model, ""
    if model is None:
        shape = arguments.shape or ("tiny" if arguments.quick else "small")
        model, random = scratch / "encoder", f"random weights, shape {shape}: {SHAPES[shape].model_dump()}"
        if not model.exists():
            make_encoder(model, SHAPES[shape], arguments.seed)
    setting = Setting(
        model=model,
        random=random,
        data=arguments.data,
        scratch=scratch,
        rows=arguments.rows,
        training_rows=arguments.training_rows,
        curve_steps=arguments.curve_steps,
        search_rows=arguments.search_rows,
        seed=arguments.seed,
        precision=arguments.precision,
    )
    return replace(setting, **QUICK) if arguments.quick else setting


def measured(race: Race, rounds: int, precision: str, again: Sequence[str] | None) -> dict[str, Any]:
    """The record of one race; peak memory takes a new process for each contender, and ``again`` to begin it."""
    ready = {name: contender.make() for name, contender in race.contenders.items()}
    found = interleaved(
        {name: each.call for name, each in ready.items()},
        rounds=rounds,
        peak=lambda: matrix_product_flops_per_s("cpu", precision),
    )
    chosen = {name: (each.note, each.computed) for name, each in ready.items()}
    ready.clear()
    gc.collect()
    memory = {name: peak_memory(race, name, again) for name in race.contenders} if race.memory and again else {}
    return record(race, found, chosen=chosen, memory=memory)


def records(arguments: argparse.Namespace, setting: Setting) -> Iterator[dict[str, Any]]:
    """One for each race, as soon as it is over."""
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    described = {
        "model": setting.random or setting.model.name,
        "data": "real" if setting.data else "made up, with the lengths of real ones",
        "rounds": rounds,
        **{name: getattr(setting, name) for name in (*QUICK, "seed", "precision")},
    }
    for line in arguments.lines or _lines(arguments.precision):
        again = _again(arguments, setting, line)
        for race in LINES[line](setting):
            if arguments.only in race.name:
                print(f"{datetime.now(UTC):%H:%M:%S} {race.name}", file=sys.stderr)
                found = measured(race, rounds, setting.precision, None if arguments.quick else again)
                yield {**found, "line": line, "setting": described, "environment": environment()}


def _lines(precision: str) -> list[str]:
    return [line for line in LINES if precision == "fp32" or line not in FLOAT32_ALONE]


def _again(arguments: argparse.Namespace, setting: Setting, line: str) -> list[str]:
    """Arguments that give another process the same setting."""
    sizes = {
        name: str(getattr(setting, name))
        for name in ("rows", "training_rows", "curve_steps", "search_rows", "seed", "precision")
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()]
    options += [f"--model={setting.model}", f"--scratch={setting.scratch}", f"--threads={torch.get_num_threads()}"]
    return [line, *options, *([f"--data={arguments.data}"] if arguments.data else [])]


def main() -> int:
    """Run, print, and write if asked."""
    arguments = parser().parse_args()
    unknown = [line for line in arguments.lines if line not in LINES]
    if unknown:
        parser().error(f"no line {', '.join(unknown)}; there are {', '.join(LINES)}")
    if wrong := [line for line in arguments.lines if line not in _lines(arguments.precision)]:
        parser().error(f"{', '.join(wrong)}: measured in float32 only")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with TemporaryDirectory(prefix="xstilts-bench-") as scratch:
        setting = setting_of(arguments, arguments.scratch or Path(scratch))
        if arguments.alone:
            name, contender = arguments.alone
            (line,) = arguments.lines
            run(next(race for race in LINES[line](setting) if race.name == name), contender)
            return 0
        found = []
        for each in records(arguments, setting):
            found.append(each)
            if arguments.out:  # after every race: an interrupted run leaves what it has
                _write(arguments.out, found)
    if not found:
        parser().error(f"no race has {arguments.only!r} in its name")
    print(markdown(found))
    return 0 if all(each["agreement"]["holds"] for each in found) else 1


def _write(stem: Path, found: Sequence[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)
    stem.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    stem.with_suffix(".md").write_text(markdown(found), encoding="utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except XstiltsError as error:
        sys.exit(str(error))
