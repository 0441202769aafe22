"""Retrieval embeddings read at layer L of N: what they cost against all N layers, and against running them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from benchmarks.lines.embed import ENCODING, NEAR, same_vectors, vectors_of
from benchmarks.peers import layer_encoder
from benchmarks.race import Agreement, Contender, Race, Ready
from benchmarks.rows import LANGUAGES, spread
from benchmarks.setting import Setting
from xstilts.models.model import Model
from xstilts.task_types import Retrieval
from xstilts.task_types.base import FloatArray

BATCH = 32


def races(setting: Setting) -> Iterator[Race]:
    """One race over distinct Tatoeba sentences; its base is the last layer."""
    sets = []
    for language in LANGUAGES:
        whole = list(dict.fromkeys(setting.source.sentences(language)))
        chosen = spread([len(text) for text in whole], setting.rows // len(LANGUAGES), setting.seed)
        sets.append([whole[i] for i in chosen])
    lengths = [n for texts in sets for n in setting.encode(Retrieval("nearest"), texts, ENCODING).lengths.tolist()]
    last = setting.num_layers
    asked = sorted({max(1, last * quarter // 4) for quarter in (1, 2, 3, 4)})
    middle = asked[(len(asked) - 1) // 2]

    def ours(layer: int) -> Callable[[], Ready]:
        def make() -> Ready:
            model = Model.start(setting.model, None, precision=setting.precision)
            return Ready(lambda: np.concatenate([vectors_of(model, texts, layer) for texts in sets]))

        return make

    def theirs() -> Ready:
        encode = layer_encoder(setting.model, ENCODING.max_length, setting.precision)
        return Ready(lambda: np.concatenate([encode(texts, middle, BATCH) for texts in sets]), f"batch {BATCH}, sorted")

    def named(layer: int) -> str:
        return f"xstilts, layer {layer} of {last}"

    peer = f"transformers, all hidden states, layer {middle} of {last}"

    def check(answers: Mapping[str, FloatArray]) -> Agreement:
        return same_vectors({name: answers[name] for name in (named(middle), peer)}, named(middle), setting.near(*NEAR))

    contenders = {
        named(layer): Contender(ours(layer), sum(lengths), setting.flops(lengths, up_to=layer)) for layer in asked
    }
    contenders[peer] = Contender(theirs, sum(lengths), setting.flops(lengths, up_to=middle))
    yield Race(
        name="layers",
        unit="tokens",
        contenders=contenders,
        base=named(last),
        check=check,
        notes={"rows": len(lengths), "tokens": sum(lengths)},
    )
