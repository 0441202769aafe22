"""The encoder alone in float32, packed against padded, forward and with backward, on the same XNLI rows, half train rows.

Padded to the longest of each random batch, and padded after sorting the whole set, of whose batches those at even steps
are taken: other rows than the random ones, so speeds are compared per token. The notes say how many rows each way
computes for each real token, for the train file and each test file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from benchmarks.peers import plain
from benchmarks.race import Agreement, Call, Contender, Difference, Race, Ready
from benchmarks.rows import LANGUAGES
from benchmarks.setting import Setting
from xstilts.batching import gather
from xstilts.data.pairs import NLI_LABELS
from xstilts.hyperparameters import Encoding
from xstilts.models.encoder import Encoder
from xstilts.models.layout import arrange
from xstilts.models.loading import load_encoder, quiet
from xstilts.rows import without_gold
from xstilts.task_types import Classification, Features, PairExample
from xstilts.task_types.base import IntArray

ENCODING = Encoding(max_length=128)
SIZE = 32
SET_ROWS = 4096
NEAR = 1e-4
PACKED, RANDOM, SORTED = "xstilts, packed", "transformers, padded", "transformers, padded, whole set sorted"
Block = dict[str, torch.Tensor]


def races(setting: Setting) -> Iterator[Race]:
    """Forward, then forward and backward, without dropout."""
    task_type = Classification(NLI_LABELS)
    sets = {"train en": without_gold(setting.source.pairs("train", "en"))}
    sets |= {f"test {language}": setting.source.pairs("test", language) for language in LANGUAGES}
    factors = {
        name: padding_factors(setting.encode(task_type, rows[:SET_ROWS], ENCODING), setting.seed)
        for name, rows in sets.items()
    }
    features = setting.encode(task_type, list(islice(in_turn(list(sets.values())), SET_ROWS)), ENCODING)
    count = max(1, setting.training_rows // SIZE)
    randomly = batches_of(features, setting.seed)[:count]
    ordered = batches_of(features, None)
    chosen = {
        PACKED: randomly,
        RANDOM: randomly,
        SORTED: [ordered[int((i + 0.5) * len(ordered) / count)] for i in range(count)],
    }
    for title, train in (("packing, forward", False), ("packing, forward and backward", True)):
        contenders = {}
        for name, batches in chosen.items():
            lengths = np.concatenate([features.lengths[batch] for batch in batches])
            flops = setting.flops(lengths.tolist())
            make = _maker(setting, features, batches, packed=name == PACKED, train=train)
            contenders[name] = Contender(make, int(lengths.sum()), flops and flops * (3 if train else 1))
        yield Race(
            name=title,
            unit="tokens",
            contenders=contenders,
            base=PACKED,
            check=lambda _: same_states(setting, features, randomly[0]),
            notes={"rows_for_each_token": factors, "batches": count},
        )


def in_turn(sets: Sequence[Sequence[PairExample]]) -> Iterator[PairExample]:
    """A train row, a test row of the first language, a train row, a test row of the second ..."""
    train, *tests = sets
    for i, row in enumerate(train):
        test = tests[i % len(tests)]
        yield from (row, test[i % len(test)])


def batches_of(features: Features, seed: int | None) -> list[IntArray]:
    """All sequences in batches, in a random order or, without a seed, sorted; an incomplete last batch is left out."""
    count = features.num_sequences
    order = (
        np.argsort(features.lengths, kind="stable") if seed is None else np.random.default_rng(seed).permutation(count)
    )
    return [order[at : at + SIZE] for at in range(0, count - SIZE + 1, SIZE)]


def padding_factors(features: Features, seed: int) -> dict[str, float]:
    """Rows computed for each real token in batches of 32; of packing only attention's, as all else computes one."""

    def padded(batches: Sequence[IntArray]) -> float:
        lengths = [features.lengths[batch] for batch in batches]
        return round(float(sum(n.max() * len(n) for n in lengths) / sum(n.sum() for n in lengths)), 3)

    randomly = batches_of(features, seed)
    runs = [run for b in randomly for run in arrange(features.lengths[b].tolist(), torch.device("cpu")).runs]
    tokens = sum(run.size for run in runs)
    return {
        "padded": padded(randomly),
        "padded to 128": round(128 * sum(map(len, randomly)) / tokens, 3),
        "whole set sorted": padded(batches_of(features, None)),
        "packed, attention": round(sum(run.count * run.longest for run in runs) / tokens, 3),
    }


def _maker(
    setting: Setting, features: Features, batches: Sequence[IntArray], *, packed: bool, train: bool
) -> Callable[[], Ready]:
    """Loads a model and gives one pass over the batches."""

    def finish(states: torch.Tensor) -> None:
        if train:
            torch.autograd.backward(states.square().mean())

    def passes(model: Any, inputs: Sequence[Any], state: Callable[[Any], torch.Tensor]) -> Call:
        model.train(train)

        def call() -> None:
            with torch.set_grad_enabled(train):
                for each in inputs:
                    finish(state(each))

        return call

    def make() -> Ready:
        if packed:
            encoder = _packed(setting)
            return Ready(passes(encoder, [gather(features, b, torch.device("cpu")) for b in batches], encoder))
        plain = _plain(setting)
        return Ready(passes(plain, [block_of(features, b) for b in batches], lambda b: plain(**b).last_hidden_state))

    return make


def _packed(setting: Setting) -> Encoder:
    return load_encoder(setting.model, dropout=0.0, attention_dropout=0.0)


def _plain(setting: Setting) -> Any:
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "add_pooling_layer": False}
    with quiet():
        return AutoModel.from_pretrained(setting.model, **plain("fp32"), **off).eval()


def block_of(features: Features, sequences: IntArray) -> Block:
    """A batch as every transformers model takes it, padded to its longest sequence with XLM-R's padding."""
    rows = [
        torch.from_numpy(features.input_ids[features.offsets[s] : features.offsets[s + 1]]).long() for s in sequences
    ]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=1)
    real = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
    return {"input_ids": ids, "attention_mask": real.long()}


def same_states(setting: Setting, features: Features, batch: IntArray) -> Agreement:
    """The same hidden states at every real token of a batch."""
    block = block_of(features, batch)
    with torch.inference_mode():
        expected = _plain(setting)(**block).last_hidden_state[block["attention_mask"].bool()]
        largest = float((_packed(setting)(gather(features, batch, torch.device("cpu"))) - expected).abs().max())
    said = f"hidden states of {len(expected)} tokens, largest difference {largest:.1e}"
    return Agreement(said, [] if largest <= NEAR else [Difference("hidden states", largest)], NEAR)
