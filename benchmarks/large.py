"""Models of billions of parameters over real text, streamed in less memory than their weights take: whole, or some layers.

    python -m benchmarks.large xlm-r-xl --tokenizer XLMR --rows XNLI.tsv --scratch DIR [--layers 1] [--count 200] [--out STEM]

Weights are random and lie in the scratch folder. Rows are embedded (the last layer, mean) in a new process whose memory a
control group limits to ``--share`` of the weights' files, file pages included, where this machine lets us make one. With
fewer layers than the shape has, the whole is extrapolated and marked so: what comes before and behind the layers, and as many
layers as there are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.measure import environment
from benchmarks.streaming import AnonymousMemory, control_group
from xstilts.hyperparameters import Encoding
from xstilts.models.random_weights import write_random_model
from xstilts.shapes import parameters, shape_config

SEED = 1


def main() -> int:
    """Write the weights, measure in a process of its own, print and record."""
    args = _arguments()
    if args.alone:
        print(json.dumps(_alone(args)))
        return 0
    folder, config = folder_of(args), shape_config(args.shape, args.layers)
    seconds = 0.0
    if not folder.exists():
        start = time.perf_counter()
        write_random_model(folder, config, SEED, dtype=args.dtype, tokenizer=args.tokenizer)
        seconds = time.perf_counter() - start
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    limit = int(max(weights * args.share, args.least_gib * 2**30))
    group, _ = control_group(limit)

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    command = [sys.executable, "-m", "benchmarks.large", *sys.argv[1:], "--alone"]
    try:
        found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=enter)
    finally:
        if group is not None:
            with suppress(OSError):
                group.rmdir()
    line = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "shape": args.shape,
        "layers": config.get("num_hidden_layers") or config["num_layers"],
        "parameters": parameters(config),
        "weights_bytes": weights,
        "written_in_seconds": seconds,
        "memory_limit_bytes": limit if group else None,
        **json.loads(found.stdout.splitlines()[-1]),
        **environment(),
        "threads": args.threads,
    }
    line |= whole(line, args.shape)
    print(shown(line), flush=True)
    if args.out:
        with args.out.with_suffix(".jsonl").open("a") as record:
            record.write(json.dumps(line, default=str) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("shape", help="a named one")
    made.add_argument("--tokenizer", type=Path, required=True, help="a model folder whose tokenizer cuts the rows")
    made.add_argument("--rows", type=Path, required=True, help="a table of two texts a row")
    made.add_argument("--count", type=int, default=200, help="rows")
    made.add_argument("--skip", type=int, default=0, help="rows before")
    made.add_argument("--scratch", type=Path, required=True, help="folder with room for the weights")
    made.add_argument("--layers", type=int, help="fewer than the shape has")
    made.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16", help="of the files")
    made.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the products")
    made.add_argument("--share", type=float, default=1 / 3, help="of the weights: the memory limit")
    made.add_argument("--least-gib", type=float, default=0.0, help="the limit, at least")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--out", type=Path, help="adds a line to OUT.jsonl")
    made.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return made.parse_args()


def folder_of(args: argparse.Namespace) -> Path:
    """Where the weights lie."""
    scratch: Path = args.scratch
    return scratch / f"{args.shape}-{args.layers or 'all'}-{args.dtype}"


def _alone(args: argparse.Namespace) -> dict[str, Any]:
    """The measured process: embed the rows; each layer's end is noted."""
    from xstilts.inference.embed import embed
    from xstilts.models.streamed_model import StreamedModel

    torch.set_num_threads(args.threads)
    rows = args.rows.read_text(encoding="utf-8").splitlines()[args.skip : args.skip + args.count]
    texts = [" ".join(row.split("\t")[:2]) for row in rows]
    loading = time.perf_counter()
    model = StreamedModel.start(folder_of(args), precision=args.precision)
    loading = time.perf_counter() - loading
    ends, memory = [], AnonymousMemory()
    start, before = time.perf_counter(), model.encoder.files.bytes_read

    def tell(done: float, _: float, __: str) -> None:
        if done == int(done):
            ends.append(time.perf_counter() - start)

    with TemporaryDirectory(dir=args.scratch) as out, memory:
        embed(
            model,
            texts,
            Encoding(max_length=128),
            layers=[model.num_layers],
            poolings=["mean"],
            out=Path(out),
            progress=tell,
        )
        seconds = time.perf_counter() - start
    return {
        "rows": len(texts),
        "skipped_rows": args.skip,
        "sub_words": sum(len(each.ids) for each in model.tokenizer.encode(texts)),
        "load_seconds": loading,
        "seconds": seconds,
        "layer_ends_seconds": ends,
        "bytes_read": model.encoder.files.bytes_read - before,
        "layers_bytes": sum(s.num_bytes for n, s in model.encoder.files.stored.items() if _in_encoder_layer(n)),
        "peak_anonymous_bytes": memory.peak,
        "anonymous_bytes_before": memory.before,
    }


def _in_encoder_layer(name: str) -> bool:
    return name.startswith("encoder.") and (".layer." in name or ".block." in name)


def whole(line: dict[str, Any], shape: str) -> dict[str, Any]:
    """What the whole shape takes: as measured, or extrapolated from the layers that ran."""
    config = shape_config(shape)
    layers = config.get("num_hidden_layers") or config["num_layers"]
    ends = line["layer_ends_seconds"]
    each = statistics.median([after - before for before, after in pairwise(ends)] or ends)
    if line["layers"] == layers:
        return {"extrapolated": False, "whole_seconds": line["seconds"], "seconds_a_layer": each}
    begin = max(0.0, line["seconds"] - each * line["layers"])
    return {
        "extrapolated": True,
        "whole_seconds": begin + each * layers,
        "seconds_a_layer": each,
        "whole_layers": layers,
    }


def shown(line: dict[str, Any]) -> str:
    """For people."""
    gib = {name: line[name] / 2**30 for name in line if name.endswith("_bytes") and line[name] is not None}
    limit = f"limit {gib['memory_limit_bytes']:.1f} GiB" if line["memory_limit_bytes"] else "no limit"
    told = (
        f"{line['shape']}, {line['layers']} layers: {line['seconds']:.0f} s for {line['rows']} rows, {line['sub_words']} "
        f"sub-words, {line['seconds_a_layer']:.1f} s a layer; at most {gib['peak_anonymous_bytes']:.2f} GiB of its own, "
        f"{limit}, weights {gib['weights_bytes']:.1f} GiB, read {line['bytes_read']:,} bytes"
    )
    if line["extrapolated"]:
        told += f"; EXTRAPOLATED to {line['whole_layers']} layers: {line['whole_seconds']:.0f} s"
    return told


if __name__ == "__main__":
    raise SystemExit(main())
