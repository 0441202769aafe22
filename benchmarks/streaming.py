"""An encoder of XLM-R XL's layers in a third of the memory its weights take: ours, and accelerate's disk offload.

    python -m benchmarks.streaming --scratch DIR [--layers 16] [--rows 64] [--precision bf16] [--rounds 3] [--out STEM]

Weights are random, one shard a layer. Sequences are as long as real XNLI rows (lengths.json), of random sub-words. Each
contender runs alone in a new process whose memory is limited by a control group, file pages included, where this machine
lets us make one; else memory is only measured. Every pass stands between two measurements, in the same process, of the
matrix product's speed (at the sizes of a layer) and of reading the shards with our own reader. The bound of a pass is the
longer of its operations at the product's speed and its bytes at the reader's; a share of 1 would be a pass that reaches it.
``few`` is a set so small that reading is the bound. A record may be measured part by part: ``--no-ours --no-few
--peer-batches 32 --out STEM`` puts one more line into it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel

from benchmarks.measure import environment
from benchmarks.rows import LENGTHS
from xstilts.batching import micro_batches
from xstilts.batching.batch import Batch
from xstilts.inference.stream import StreamNeeds, stream
from xstilts.models.flops import forward_flops
from xstilts.models.streamed import StreamedEncoder
from xstilts.models.weight_files import WeightFiles

SHAPE = {"hidden_size": 2560, "num_attention_heads": 32, "intermediate_size": 10240}
FEW = 4
"""Rows of a set whose reading takes longer than its computing."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
GROUPS = Path("/sys/fs/cgroup")


def main() -> int:
    """Write the weights, measure every contender in a process of its own, print and record."""
    args = _arguments()
    if args.alone:
        print(json.dumps(_alone(args)))
        return 0
    torch.manual_seed(0)
    folder = write_weights(
        args.scratch / f"xl-{args.layers}-{args.precision}", args.layers, args.precision, args.vocabulary
    )
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    limit = int(weights * args.share) if args.share else 0
    ours = [name for name, asked in (("ours", args.ours), ("few", args.few)) if asked]
    for contender in [*ours, *(f"accelerate {n}" for n in args.peer_batches)]:
        found = _measured(contender, limit)
        line = {"contender": contender, "weights_bytes": weights, "memory_limit_bytes": limit, **found}
        print(_shown(line), flush=True)
        if args.out:
            _record(args.out.with_suffix(".json"), args, line)
    return 0


def _record(path: Path, args: argparse.Namespace, line: dict[str, Any]) -> None:
    """Put a line into the record, in the place of an earlier one of the same contender and rows."""
    kept = json.loads(path.read_text())["lines"] if path.is_file() else []
    kept = [each for each in kept if (each["contender"], each.get("rows")) != (line["contender"], line.get("rows"))]
    dated = {"date": datetime.now(UTC).isoformat(timespec="seconds"), **line, "arguments": vars(args)}
    record = {**environment(), "threads": args.threads, "lines": [*kept, dated]}
    path.write_text(json.dumps(record, indent=1, default=str) + "\n")


def _arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--scratch", type=Path, required=True, help="folder with room for the weights")
    made.add_argument("--layers", type=int, default=16)
    made.add_argument("--vocabulary", type=int, default=4096, help="rows of the embedding matrix")
    made.add_argument("--rows", type=int, default=64)
    made.add_argument("--precision", choices=DTYPES, default="bf16", help="of the files and of the products")
    made.add_argument("--micro-batch-tokens", type=int, default=1024)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--share", type=float, default=1 / 3, help="of the weights: the memory limit; 0 for none")
    made.add_argument("--ours", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--few", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--peer-batches", type=int, nargs="*", default=[16, 64], help="of accelerate's passes")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--out", type=Path, help="also write OUT.json")
    made.add_argument("--alone", help=argparse.SUPPRESS)
    return made.parse_args()


def write_weights(folder: Path, layers: int, precision: str, vocabulary: int) -> Path:
    """A Hugging Face folder of a random XLM-R XL with so many layers, one shard a layer; made once."""
    if (folder / "config.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    config = AutoConfig.for_model("xlm-roberta-xl", num_hidden_layers=layers, vocab_size=vocabulary, **SHAPE)
    with torch.device("meta"):
        shapes = {n: w.shape for n, w in AutoModel.from_config(config, add_pooling_layer=False).state_dict().items()}
    shards: dict[str, list[str]] = {}
    for name in shapes:
        parts = name.split(".")
        shards.setdefault(f"layer-{int(parts[2]):02d}" if parts[1] == "layer" else "rest", []).append(name)
    for shard, names in shards.items():
        made = {n: torch.randn(shapes[n], dtype=torch.float32).mul_(0.02) for n in names}
        made = {n: w.add_(1) if "orm.weight" in n else w for n, w in made.items()}
        kept = {n: w.to(DTYPES[precision]) for n, w in made.items()}
        save_file(kept, folder / f"{shard}.safetensors", metadata={"format": "pt"})
    index = {
        "metadata": {},
        "weight_map": {n: f"{shard}.safetensors" for shard, names in shards.items() for n in names},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config.dtype = DTYPES[precision]
    config.save_pretrained(folder)
    return folder


def _measured(contender: str, limit: int) -> dict[str, Any]:
    """What a new process says of itself; ``failed`` where it died."""
    group, version = control_group(limit) if limit else (None, 0)
    command = [sys.executable, "-m", "benchmarks.streaming", *sys.argv[1:], "--alone", contender]

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, preexec_fn=enter)
    finally:
        if group is not None:
            with suppress(OSError):
                group.rmdir()
    if done.returncode:
        killed = done.returncode == -9
        return {
            "failed": "killed for memory" if killed else f"exit status {done.returncode}",
            "limited": group is not None,
        }
    return {**json.loads(done.stdout.splitlines()[-1]), "limited": group is not None, "control_groups": version}


def control_group(limit: int) -> tuple[Path | None, int]:
    """A new control group with a memory limit, or ``None`` where this machine does not let us make one."""
    for top, name, version in (
        (GROUPS / "memory", "memory.limit_in_bytes", 1),
        (GROUPS, "memory.max", 2),
    ):
        group = top / f"xstilts-streaming-{os.getpid()}"
        try:
            group.mkdir()
            (group / name).write_text(str(limit))
        except OSError:
            continue
        return group, version
    return None, 0


def _alone(args: argparse.Namespace) -> dict[str, Any]:
    """One contender: its passes, each between two measurements of the machine."""
    torch.set_num_threads(args.threads)
    folder = args.scratch / f"xl-{args.layers}-{args.precision}"
    rows = FEW if args.alone == "few" else args.rows
    lengths = _lengths(rows, most=8 if args.alone == "few" else None)
    call, facts = _ours(folder, args, lengths) if args.alone in ("ours", "few") else _peer(folder, args, lengths)
    passes = []
    before, memory = _machine(folder, args.precision), AnonymousMemory()
    for _ in range(args.rounds):
        with memory:
            start = time.perf_counter()
            values = call()
            seconds = time.perf_counter() - start
        after = _machine(folder, args.precision)
        product, reading = (statistics.mean(pair) for pair in zip(before, after, strict=True))
        bound = max(facts["flops"] / product, facts["bytes"] / reading)
        rates = {"product_flops_per_s": product, "read_bytes_per_s": reading}
        passes.append({"seconds": seconds, "bound_seconds": bound, **rates})
        before = after
    return {
        **facts,
        **values,
        "rows": rows,
        "sub_words": sum(lengths),
        "passes": passes,
        "seconds": statistics.median(p["seconds"] for p in passes),
        "share_of_bound": statistics.median(p["bound_seconds"] / p["seconds"] for p in passes),
        "peak_anonymous_bytes": memory.peak,
        "anonymous_bytes_before": memory.before,
    }


def _ours(
    folder: Path, args: argparse.Namespace, lengths: list[int]
) -> tuple[Callable[[], dict[str, Any]], dict[str, Any]]:
    encoder = StreamedEncoder(folder, args.precision)
    batches = [_batch([lengths[i] for i in of]) for of in _cut(lengths, args.micro_batch_tokens)]
    ids = np.unique(torch.cat([b.input_ids for b in batches]).numpy())
    words = "embeddings.word_embeddings.weight"
    every = sum(s.num_bytes for s in encoder.files.stored.values()) - encoder.files.stored[words].num_bytes
    # The last norm was read when the encoder was loaded.
    norm = sum(encoder.files.stored[f"encoder.LayerNorm.{n}"].num_bytes for n in ("weight", "bias"))
    needs = StreamNeeds.of(encoder, len(ids), sum(lengths), max(b.num_tokens for b in batches), max(lengths))
    facts = {
        "flops": forward_flops(encoder.encoder, lengths, reads=len(lengths)),
        "bytes": every - norm + len(ids) * encoder.row_bytes,
        "planned_bytes": needs.without_states + needs.states,
    }

    def call() -> dict[str, Any]:
        kept: list[torch.Tensor] = []
        before = encoder.files.bytes_read
        stream(encoder, batches, lambda _, __, s: kept.append(s), wanted={encoder.num_layers}, read_only=True)
        assert all(torch.isfinite(s).all() for s in kept)
        return {"bytes_read": encoder.files.bytes_read - before}

    return call, facts


def _peer(
    folder: Path, args: argparse.Namespace, lengths: list[int]
) -> tuple[Callable[[], dict[str, Any]], dict[str, Any]]:
    """accelerate's disk offload, straight from the shards: layers on the disk, the rest in memory, sorted by length."""
    size = int(args.alone.split()[1])
    places = {"embeddings": "cpu", "encoder.LayerNorm": "cpu"}
    places |= {f"encoder.layer.{i}": "disk" for i in range(args.layers)}
    model = AutoModel.from_pretrained(
        folder,
        device_map=places,
        offload_folder=str(args.scratch / "offload"),
        dtype=DTYPES[args.precision],
        attn_implementation="sdpa",
        add_pooling_layer=False,
        local_files_only=True,
    ).eval()
    ordered = sorted(lengths, reverse=True)
    groups = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    encoder = StreamedEncoder(folder, args.precision)
    layers = sum(s.num_bytes for n, s in encoder.files.stored.items() if ".layer." in n)
    facts = {"flops": forward_flops(encoder.encoder, lengths, reads=len(lengths)), "bytes": layers * len(groups)}

    def call() -> dict[str, Any]:
        with torch.inference_mode():
            for group in groups:
                mask = torch.arange(max(group))[None] < torch.tensor(group)[:, None]
                model(input_ids=torch.randint(5, args.vocabulary, mask.shape), attention_mask=mask.long())
        return {}

    return call, facts


def _lengths(rows: int, most: int | None) -> list[int]:
    """As long as XNLI's rows: evenly spread over the histogram."""
    histogram = json.loads(LENGTHS.read_text())["histograms"]["xnli.train.en"]
    every = np.repeat([int(n) for n in histogram], list(histogram.values()))
    chosen = np.sort(every)[np.linspace(0, len(every) - 1, rows).round().astype(int)]
    return [min(int(n), most or int(n)) for n in chosen]


def _cut(lengths: Sequence[int], tokens: int) -> list[Any]:
    return micro_batches(np.array(lengths), np.arange(len(lengths)), tokens)


def _batch(lengths: Sequence[int]) -> Batch:
    ids = torch.randint(5, 4096, (sum(lengths),), generator=torch.Generator().manual_seed(len(lengths)))
    first = torch.from_numpy(np.cumsum(lengths) - np.array(lengths))
    ones = (1,) * len(lengths)
    return Batch(ids, torch.zeros_like(ids), tuple(lengths), first, ones, np.arange(len(lengths)))


def _machine(folder: Path, precision: str) -> tuple[float, float]:
    """Operations a second of a layer's largest product, best of some; bytes a second of our reader over two cold shards."""
    sizes = ((1024, SHAPE["hidden_size"]), (SHAPE["intermediate_size"], SHAPE["hidden_size"]))
    inputs, weight = (torch.randn(size).to(DTYPES[precision]) for size in sizes)
    best, until = float("inf"), time.perf_counter() + 1.5
    with torch.inference_mode():
        while time.perf_counter() < until:
            start = time.perf_counter()
            torch.nn.functional.linear(inputs, weight)
            best = min(best, time.perf_counter() - start)
    del inputs, weight
    time.sleep(3)  # what a control group says of itself is two seconds old
    with WeightFiles(folder) as files:
        names = [n for n in files.stored if ".layer.0." in n or ".layer.1." in n]
        largest = max(files.stored[n].num_bytes for n in names)
        into = torch.empty(largest, dtype=torch.uint8)
        start = time.perf_counter()
        for name in names:
            stored = files.stored[name]
            files.read(name, into[: stored.num_bytes].view(stored.dtype).view(stored.shape))
        seconds = time.perf_counter() - start
        return 2 * 1024 * SHAPE["hidden_size"] * SHAPE["intermediate_size"] / best, files.bytes_read / seconds


class AnonymousMemory:
    """The most anonymous memory of this process within its passes: pages of files can be given back and do not count."""

    def __init__(self) -> None:
        self.before = self.peak = self._now()

    def __enter__(self) -> None:
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024


def _shown(line: dict[str, Any]) -> str:
    if "failed" in line:
        return f"{line['contender']}: {line['failed']} under {line['memory_limit_bytes'] / 2**20:.0f} MiB"
    mib = {name: f"{line[name] / 2**20:.0f}" for name in line if name.endswith(("_bytes", "_before"))}
    of = f"{line['contender']}: {line['seconds']:.1f} s for {line['sub_words']} sub-words, "
    of += f"{line['share_of_bound']:.2f} of the bound"
    of += f"; MiB: anonymous {mib['peak_anonymous_bytes']} at most ({mib['anonymous_bytes_before']} before), limit "
    of += f"{mib['memory_limit_bytes']}, weights {mib['weights_bytes']}"
    if "bytes_read" in line:
        of += f", read {line['bytes_read']:,} of {line['bytes']:,} bytes"
    last = line["passes"][-1]
    return (
        of
        + f"; product {last['product_flops_per_s'] / 1e9:.0f} GFLOP/s, reading {last['read_bytes_per_s'] / 1e9:.2f} GB/s"
    )


if __name__ == "__main__":
    raise SystemExit(main())
