"""The quick benchmarks: ``make bench-quick``, under five minutes on two cores, no download.

1. An encoder of XLM-R's kind with random weights on a length mix like XNLI's (log-normal, median 26): packed, against
   transformers padded to the longest of each random batch, forward and forward+backward.
2. Exact 4-nearest-neighbours of 4,000 x 6,000 vectors, against faiss's flat index.

Prints a table; ``--json FILE`` adds the raw seconds, versions and the device.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import XLMRobertaConfig, XLMRobertaModel

from benchmarks.measure import environment, interleaved, record
from xstilts.batching.batch import Batch
from xstilts.inference.search import nearest
from xstilts.models.encoder import Encoder
from xstilts.models.packed_attention import NAME

SEED = 0


def lengths(count: int) -> list[int]:
    """A length mix like XNLI's pairs: log-normal, median 26, 5 to 128 sub-words."""
    drawn = np.random.default_rng(SEED).lognormal(np.log(26), 0.7, count)
    return [int(n) for n in drawn.clip(5, 128)]


def encoders() -> tuple[XLMRobertaModel, Encoder]:
    """The same random weights behind transformers' padded attention and behind our packed one."""
    torch.manual_seed(SEED)
    config = XLMRobertaConfig(
        vocab_size=20_000,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=514,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    padded = XLMRobertaModel._from_config(deepcopy(config), attn_implementation="sdpa")  # a config of its own
    packed = XLMRobertaModel._from_config(config, attn_implementation=NAME)
    packed.load_state_dict(padded.state_dict())
    return padded, Encoder(packed, "fp32")


def encoder_calls(size: int, *, train: bool) -> tuple[dict[str, Callable[[], Any]], int]:
    """One pass over the same sentences in random batches of ``size``, padded and packed."""
    padded, packed = encoders()
    generator = torch.Generator().manual_seed(SEED)
    rows = [torch.randint(5, 20_000, (n,), generator=generator) for n in lengths(128)]
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]

    def run_padded() -> None:
        for batch in batches:
            ids = pad_sequence(batch, batch_first=True, padding_value=1)
            finish(padded(input_ids=ids, attention_mask=ids.ne(1).long()).last_hidden_state)

    def run_packed() -> None:
        for batch in batches:
            ids = torch.cat(batch)
            shape = tuple(len(row) for row in batch)
            firsts = torch.tensor([0])
            finish(packed(Batch(ids, torch.zeros_like(ids), shape, firsts, (1,) * len(shape), np.arange(len(shape)))))

    def finish(states: torch.Tensor) -> None:
        if train:
            states.square().mean().backward()  # type: ignore[no-untyped-call]

    def guarded(call: Callable[[], None]) -> Callable[[], None]:
        def guarded_call() -> None:
            with torch.set_grad_enabled(train):
                call()

        return guarded_call

    calls = {"transformers, padded to the batch": guarded(run_padded), "xstilts, packed": guarded(run_packed)}
    return calls, sum(len(row) for row in rows)


def search_calls() -> tuple[dict[str, Callable[[], Any]], int]:
    """Four exact neighbours of every query by cosine."""
    random = np.random.default_rng(SEED)
    queries = random.standard_normal((4_000, 384), dtype=np.float32)
    candidates = random.standard_normal((6_000, 384), dtype=np.float32)

    def flat() -> Any:
        left, right = queries.copy(), candidates.copy()
        faiss.normalize_L2(left)
        faiss.normalize_L2(right)
        index = faiss.IndexFlatIP(384)
        index.add(right)
        return index.search(left, 4)

    return {
        "faiss, flat index": flat,
        "xstilts, exact with ties by index": lambda: nearest(queries, candidates, 4),
    }, 4_000


def main() -> None:
    """Run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the raw record here")
    arguments = parser.parse_args()
    records = []
    for name, train in (("encoder, forward", False), ("encoder, forward+backward", True)):
        calls, tokens = encoder_calls(32, train=train)
        seconds = interleaved(calls, rounds=arguments.rounds)
        records.append(record(name, tokens, "tokens", seconds, base="transformers, padded to the batch"))
    calls, count = search_calls()
    seconds = interleaved(calls, rounds=arguments.rounds)
    records.append(record("exact 4-NN", count, "queries", seconds, base="faiss, flat index"))
    for line in records:
        for contender, figures in line["contenders"].items():
            rate = figures[f"{line['unit']}_per_second"]
            spread = (
                f"{figures['speed_up_median']:.2f} ({figures['speed_up_min']:.2f} to {figures['speed_up_max']:.2f})"
            )
            print(f"{line['benchmark']:28} {contender:36} {rate:>10,.0f} {line['unit']}/s   x {spread}")
    found = environment()
    print(f"{found['cpu']}, {found['threads']} threads, fp32, random weights; {found['versions']}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": found, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
