"""Models of up to 13B parameters on this machine, without their weights: what their rows and their words cost.

    python -m benchmarks.impact13b --tokenizer XLMR --text-tokenizer MT5 --data DATA --scratch DIR --out STEM

Each shape is written once with random weights, which cost what learned ones do, and measured in fresh processes:
(a) an encoder embeds a retrieval target's sentences: sequences/s, latency and memory by language; (b) a text-to-text model
answers with exactly 1, 8 and 32 sub-words, so that each further one has its price. What intermediate training changes cannot
be seen without weights: that is the recipe ``impact13b``. Every shape adds a line to STEM.jsonl; the same command goes on
behind the last whole one. STEM.md is the table. On a GPU: --device cuda:0.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from xstilts.bench.writing import Writing, measure_writing
from xstilts.benching import bench_folder
from xstilts.device import cores, fingerprint
from xstilts.models.precision import resolve_precision
from xstilts.models.random_weights import write_random_model
from xstilts.report.grid import plural
from xstilts.report.impact.one_model import model_rows
from xstilts.report.impact.writing import writing_grid
from xstilts.shapes import SHAPES, parameters, shape_config
from xstilts.tasks import load

LARGE = ("xlm-r-large", "xlm-r-xl", "xlm-r-xxl", "mt5-large", "mt5-xl", "mt5-xxl")
SEED = 1
WRITTEN = (1, 8, 32)
Json = dict[str, Any]


def main() -> int:
    """Measure what is not in the record yet."""
    args = _arguments()
    record = args.out.with_suffix(".jsonl")
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    for shape in args.shapes:
        asked = asked_of(args, shape)
        if any(line["asked"] == asked for line in lines):
            continue
        found = _measured(args, shape, asked)
        config = shape_config(shape, args.layers)
        date = datetime.now(UTC).isoformat(timespec="seconds")
        lines.append({"date": date, "asked": asked, "parameters": parameters(config), **found, **environment()})
        with record.open("a") as file:
            file.write(json.dumps(lines[-1], default=str) + "\n")
        args.out.with_suffix(".md").write_text(table(lines))
        print(table(lines[-1:]), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--tokenizer", type=Path, required=True, help="a folder with the encoders' tokenizer")
    made.add_argument("--text-tokenizer", type=Path, help="that of the text-to-text models; default: the same")
    made.add_argument("--data", type=Path, required=True, help="data folder with tatoeba and xnli test rows")
    made.add_argument("--scratch", type=Path, required=True, help="folder with room for one model after the other")
    made.add_argument("--out", type=Path, required=True, help="stem of the record")
    made.add_argument("--shapes", nargs="+", choices=SHAPES, default=LARGE, metavar="SHAPE", help=" ".join(LARGE))
    made.add_argument("--layers", type=int, help="fewer than the shapes have: a trial, and the record says so")
    made.add_argument("--languages", nargs="+", default=["de", "zh"], help="of tatoeba, for encoders")
    made.add_argument("--rows", type=int, default=64, help="of each language")
    made.add_argument("--runs", type=int, default=3, help="fresh processes")
    made.add_argument("--seconds", type=float, default=10.0, help="of each scenario")
    made.add_argument("--device", default="cpu")
    made.add_argument("--threads", type=int, default=cores())
    made.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    made.add_argument("--keep", action="store_true", help="leave the models in the scratch folder")
    return made.parse_args()


def asked_of(args: argparse.Namespace, shape: str) -> Json:
    """What a line is of: another wish is another line."""
    precision = resolve_precision(args.precision, args.device)
    return {
        "shape": shape,
        "layers": args.layers,
        "rows": args.rows,
        "runs": args.runs,
        "seconds": args.seconds,
        **({"written": list(WRITTEN)} if _writes(shape) else {"languages": args.languages}),
        "device": fingerprint(args.device, args.threads, precision),
    }


def _writes(shape: str) -> bool:
    return str(SHAPES[shape]["model_type"]) == "mt5"


def _measured(args: argparse.Namespace, shape: str, asked: Json) -> Json:
    folder: Path = args.scratch / f"{shape}-{args.layers or 'all'}"
    tokenizer = args.text_tokenizer or args.tokenizer if _writes(shape) else args.tokenizer
    if not folder.exists():
        print(f"{shape}: writing weights", file=sys.stderr, flush=True)
        write_random_model(folder, shape_config(shape, args.layers), SEED, dtype="bf16", tokenizer=tokenizer)
    on = {"precision": asked["device"]["precision"], "device": args.device, "threads": args.threads}
    load_of = {"rows": args.rows, "runs": args.runs, "seconds": args.seconds}
    if _writes(shape):
        wanted = Writing(written=WRITTEN, **load_of, **on)
        found: Json = {"writing": measure_writing(folder, load("xnli"), args.data, wanted, _told(shape))}
    else:
        measured, _ = bench_folder(
            folder, "tatoeba", args.data, languages=args.languages, progress=_told(shape), **load_of, **on
        )
        found = {"embedding": model_rows(measured), "matrix_peak_flops_per_s": list(measured.matrix_peak)}
    if not args.keep:
        shutil.rmtree(folder)
    return found


def _told(shape: str) -> Callable[..., None]:
    def tell(done: float, total: float, unit: str, **_: object) -> None:
        if done == int(done):
            print(f"{shape}: {done:.0f} of {total:.0f} {unit}", file=sys.stderr, flush=True)

    return tell


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The record for people."""
    told = ["# Large shapes, random weights: what rows and words cost", ""]
    for line in lines:
        asked, device = line["asked"], line["asked"]["device"]
        layers = f"{plural(asked['layers'], 'layer')} of " if asked["layers"] else ""
        told += [f"## {layers}{asked['shape']}: {line['parameters']:,} parameters, weights drawn, not learned", ""]
        if "writing" in line:
            grid = writing_grid(line["writing"])
            told += _rows(grid.columns, grid.rows)
        else:
            columns = ("language", "sequences/s", "tokens/s", "p50 ms", "p90 ms", "memory GiB")
            told += _rows(columns, [_embedding(of) for of in line["embedding"]])
        told += [
            "",
            f"{device['name']}, {plural(device['threads'], 'thread')}, {device['precision']}; {line['date'][:10]}.",
            "",
        ]
    return "\n".join(told)


def _embedding(of: Mapping[str, Any]) -> list[str]:
    p90 = of["p90_seconds"]
    return [
        of["language"],
        f"{of['sequences_per_second']:.3g}",
        f"{of['tokens_per_second']:,.0f}",
        f"{1000 * of['p50_seconds']:.4g}",
        "–" if p90 is None else f"{1000 * p90:.4g}",
        f"{of['memory_gib']:.2f}",
    ]


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    head = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    return head + ["| " + " | ".join(row) + " |" for row in rows]


if __name__ == "__main__":
    raise SystemExit(main())
