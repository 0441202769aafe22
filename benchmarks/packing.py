"""Packed against padded execution on real XNLI rows: rows computed for each real token, and speed.

``python -m benchmarks.packing --data DIR --model DIR``: about two minutes on two idle cores with multilingual-e5-small.

1. The padding factor (rows of a padded block for each real token) of batches of 32, for the train file and each test
   file: random batches, the whole set sorted by length, and packed. Packed computes one row for each token; its factor is
   that of attention alone, whose runs of near lengths share blocks.
2. Speed, forward and forward+backward, on train and test rows in turn: transformers padded to the longest of each random
   batch, padded after sorting the whole set, and packed on the same random batches. Sorted batches hold other rows than
   random ones, so a contender's seconds count per token. They are taken at even steps from the sorted whole set, as
   sorting the few rows of a short run would leave padding that real sorting does not, and flatter packing.

Prints a table; ``--json FILE`` adds the raw seconds, versions and the device.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from benchmarks.measure import environment, interleaved, record
from xstilts.batching import Batch, gather
from xstilts.data.pairs import read_nli
from xstilts.errors import DataError
from xstilts.models.layout import arrange
from xstilts.models.loading import load_encoder, load_tokenizer
from xstilts.task_types import Features, PairExample
from xstilts.task_types.base import IntArray
from xstilts.tasks import load

SEED = 0
SIZE = 32
SET_ROWS = 4096
"""Rows that are sorted together and from which random batches are drawn."""
RANDOM, SORTED, PACKED = "padded, random batches", "padded, whole set sorted", "packed, random batches"


def read(path: Path, language: str) -> list[PairExample]:
    """The first ``SET_ROWS`` rows of a file."""
    return list(islice(read_nli([path], language), SET_ROWS))


def files(data: Path) -> dict[str, Path]:
    """``train-en`` and every ``test-LL`` of a data folder."""
    found = sorted(chain((data / "xnli").glob("train-en.tsv"), (data / "xnli").glob("test-*.tsv")), reverse=True)
    if len(found) < 2 or found[0].stem != "train-en":
        raise DataError("train-en.tsv and a test file are needed", where=str(data / "xnli"))
    return {path.stem: path for path in found}


def in_turn(sets: Sequence[Sequence[PairExample]]) -> Iterator[PairExample]:
    """A train row, a test row of the first language, a train row, a test row of the second ..."""
    train, *tests = sets
    for i, row in enumerate(train):
        test = tests[i % len(tests)]
        yield from (row, test[i % len(test)])


def batches_of(features: Features, size: int, *, by_length: bool) -> list[IntArray]:
    """All sequences in batches of ``size``, in a random order or sorted; an incomplete last batch is left out."""
    count = features.num_sequences
    order = np.argsort(features.lengths, kind="stable") if by_length else np.random.default_rng(SEED).permutation(count)
    return [order[at : at + size] for at in range(0, count - size + 1, size)]


def padding_factors(features: Features, size: int) -> dict[str, float]:
    """Rows computed for each real token."""

    def padded(batches: Sequence[IntArray]) -> float:
        lengths = [features.lengths[batch] for batch in batches]
        return float(sum(n.max() * len(n) for n in lengths) / sum(n.sum() for n in lengths))

    randomly = batches_of(features, size, by_length=False)
    blocks = tokens = 0
    for batch in randomly:
        runs = arrange(features.lengths[batch].tolist(), torch.device("cpu")).runs
        blocks += sum(run.count * run.longest for run in runs)
        tokens += int(features.lengths[batch].sum())
    return {
        RANDOM: round(padded(randomly), 3),
        SORTED: round(padded(batches_of(features, size, by_length=True)), 3),
        "packed, attention only": round(blocks / tokens, 3),
    }


def block_of(features: Features, sequences: IntArray) -> dict[str, torch.Tensor]:
    """A batch as every transformers model takes it, padded to its longest sequence."""
    lengths = features.lengths[sequences]
    ids = torch.full((len(sequences), int(lengths.max())), 1)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        start = features.offsets[sequence]
        ids[row, :length] = torch.from_numpy(features.input_ids[start : start + length].astype(np.int64))
    return {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]).long(),
    }


def contenders(
    folder: Path, features: Features, rows: int, *, train: bool
) -> tuple[dict[str, Callable[[], None]], dict[str, int]]:
    """What is timed, and the real tokens each works on."""
    off: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain = AutoModel.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, attn_implementation="sdpa", add_pooling_layer=False, **off
    )
    packed = load_encoder(folder, dropout=0.0, attention_dropout=0.0)
    if packed.execution.kind != "packed":
        raise DataError(f"nothing to compare: {packed.execution.reason}", where=str(folder))
    size = min(SIZE, rows)
    randomly = batches_of(features, size, by_length=False)[: rows // size]
    ordered = batches_of(features, size, by_length=True)
    step = len(ordered) / len(randomly)
    chosen = {RANDOM: randomly, SORTED: [ordered[int((i + 0.5) * step)] for i in range(len(randomly))]}
    blocks = {name: [block_of(features, batch) for batch in batches] for name, batches in chosen.items()}
    flat = [gather(features, batch, torch.device("cpu")) for batch in randomly]

    def finish(states: torch.Tensor) -> None:
        if train:
            torch.autograd.backward(states.square().mean())

    def run_padded(name: str) -> None:
        with torch.set_grad_enabled(train):
            for block in blocks[name]:
                finish(plain(**block).last_hidden_state)

    def run_packed() -> None:
        with torch.set_grad_enabled(train):
            for batch in flat:
                finish(packed(batch))

    _check_equal(plain, packed, blocks[RANDOM][0], flat[0])
    for model in (plain, packed):
        model.train(train)
    tokens = {name: int(sum(features.lengths[batch].sum() for batch in batches)) for name, batches in chosen.items()}
    calls = {RANDOM: lambda: run_padded(RANDOM), SORTED: lambda: run_padded(SORTED), PACKED: run_packed}
    return calls, {**tokens, PACKED: tokens[RANDOM]}


def _check_equal(plain: Any, packed: Any, block: dict[str, torch.Tensor], batch: Batch) -> None:
    """A race between two that compute different things is none."""
    with torch.no_grad():
        expected = plain.eval()(**block).last_hidden_state[block["attention_mask"].bool()]
        difference = float((packed.eval()(batch) - expected).abs().max())
    if difference > 1e-4:
        raise AssertionError(f"packed and padded hidden states differ by {difference:.1e}")


def main() -> None:
    """Run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="data folder with xnli/train-en.tsv and xnli/test-LL.tsv"
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of an encoder of a verified family")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=96, help="rows in one timed pass")
    parser.add_argument("--json", type=Path, help="also write the raw record here")
    arguments = parser.parse_args()
    task, tokenizer = load("xnli"), load_tokenizer(arguments.model)
    sets = {name: read(path, name[-2:]) for name, path in files(arguments.data).items()}
    factors = {}
    for name, rows in sets.items():
        factors[name] = padding_factors(task.type.encode(rows, tokenizer, task.encoding), SIZE)
        print(f"{name:10} rows computed for each token: {', '.join(f'{k} {v:.2f}' for k, v in factors[name].items())}")
    mixed = list(islice(in_turn(list(sets.values())), SET_ROWS))
    features = task.type.encode(mixed, tokenizer, task.encoding)
    records = []
    for title, train in (("forward", False), ("forward+backward", True)):
        calls, tokens = contenders(arguments.model, features, arguments.rows, train=train)
        seconds = interleaved(calls, rounds=arguments.rounds)
        per_token = {name: [s * tokens[RANDOM] / tokens[name] for s in values] for name, values in seconds.items()}
        records.append(record(title, tokens[RANDOM], "tokens", per_token, base=RANDOM))
        for name, figures in records[-1]["contenders"].items():
            spread = (
                f"{figures['speed_up_median']:.2f} ({figures['speed_up_min']:.2f} to {figures['speed_up_max']:.2f})"
            )
            print(f"{title:18} {name:26} {figures['tokens_per_second']:>10,.0f} tokens/s   x {spread}")
    found = environment()
    print(f"{found['cpu']}, {found['threads']} threads, fp32, batches of {SIZE}; {found['versions']}")
    if arguments.json:
        whole = {"environment": found, "padding_factors": factors, "records": records}
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
