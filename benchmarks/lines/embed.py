"""XNLI test rows, from text to mean-pooled vectors, against sentence-transformers and ONNX Runtime.

Both texts of a row are one text here, and each language is encoded by itself, as retrieval does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.peers import best_of, sentence_encoder
from benchmarks.race import Agreement, Call, Contender, Difference, Race, Ready
from benchmarks.rows import LANGUAGES, spread
from benchmarks.setting import MICRO_BATCH_TOKENS, Setting
from xstilts.hyperparameters import Encoding
from xstilts.inference.embed import embed
from xstilts.inference.search import nearest
from xstilts.models.model import Model
from xstilts.models.precision import Precision, resolve_precision
from xstilts.task_types import Retrieval
from xstilts.task_types.base import FloatArray

ENCODING = Encoding(max_length=128)
NEAR = 1e-4, 1e-2
"""Cosine distance that is rounding: in float32, in bfloat16."""
SAME_SCORE = 1.0
"""Points of retrieval accuracy that rounding may move."""
OURS, DEFAULT, BEST = "xstilts", "sentence-transformers", "sentence-transformers, best batch"
ONNX = "ONNX Runtime, sorted, best batch"
Encode = Callable[[Sequence[str], int], FloatArray]


def races(setting: Setting) -> Iterator[Race]:
    """One race over both languages in one precision, and one as both are shipped, where that is another for ours."""
    sets = [_texts(setting, language, setting.rows // len(LANGUAGES)) for language in LANGUAGES]
    lengths = [n for texts in sets for n in setting.encode(Retrieval("nearest"), texts, ENCODING).lengths.tolist()]

    def ours(precision: Precision = setting.precision) -> Ready:
        model = Model.start(setting.model, None, precision=precision)
        return Ready(lambda: np.concatenate([vectors_of(model, texts, model.num_layers) for texts in sets]))

    def sized(encode: Encode, size: int) -> Call:
        return lambda: np.concatenate([encode(texts, size) for texts in sets])

    def sentences(precision: Precision = setting.precision) -> Encode:
        return sentence_encoder(setting.model, ENCODING.max_length, precision)

    def exported() -> Encode:
        from benchmarks.onnx_encoder import onnx_encoder  # of the bench extra

        return onnx_encoder(setting.model, setting.scratch / "onnx", ENCODING.max_length)

    def best(encode: Encode, *sizes: int) -> Ready:
        return best_of([Ready(sized(encode, size), f"batch {size}") for size in sizes])

    made: dict[str, Callable[[], Ready]] = {
        OURS: ours,
        DEFAULT: lambda: Ready(sized(sentences(), 32), "batch 32"),
        BEST: lambda: best(sentences(), 32, 64, 128),
    }
    if setting.precision == "fp32":  # ONNX Runtime has no bfloat16 on the CPU
        made |= {ONNX: lambda: best(exported(), 8, 32, 128)}
    flops = setting.flops(lengths)
    yield Race(
        name="embed",
        unit="tokens",
        contenders={name: Contender(make, sum(lengths), flops) for name, make in made.items()},
        base=OURS,
        check=lambda answers: same_vectors(answers, OURS, setting.near(*NEAR)),
        notes={"rows": len(lengths), "tokens": sum(lengths)},
    )

    shipped = resolve_precision("auto", "cpu")
    if setting.precision == shipped == "bf16":
        yield Race(
            name="embed, as shipped",
            unit="tokens",
            contenders={
                OURS: Contender(lambda: ours(shipped), sum(lengths), flops),
                DEFAULT: Contender(
                    lambda: Ready(sized(sentences("fp32"), 32), "float32, batch 32"), sum(lengths), flops
                ),
            },
            base=OURS,
            check=lambda _: same_score(setting, shipped),
            notes={"rows": len(lengths), "tokens": sum(lengths), "precision": shipped},
        )


def same_score(setting: Setting, precision: Precision) -> Agreement:
    """Retrieval from English lines to Chinese ones, as Tatoeba scores it, with our vectors and with the peer's."""
    sets = [setting.source.sentences(language) for language in LANGUAGES]
    model = Model.start(setting.model, None, precision=precision)
    encode = sentence_encoder(setting.model, ENCODING.max_length, "fp32")
    ours, theirs = (
        100 * float(np.mean(nearest(queries, candidates, 1).indices[:, 0] == np.arange(len(queries))))
        for queries, candidates in (
            [vectors_of(model, texts, model.num_layers) for texts in sets],
            [encode(texts, 32) for texts in sets],
        )
    )
    apart = abs(ours - theirs)
    differences = [] if apart <= SAME_SCORE else [Difference("Tatoeba accuracy", apart)]
    said = f"Tatoeba zh, {len(sets[0])} lines: accuracy {ours:.1f} with ours, {theirs:.1f} with theirs"
    return Agreement(said, differences, SAME_SCORE)


def _texts(setting: Setting, language: str, count: int) -> list[str]:
    """Distinct texts: ours embeds equal ones once, so they would not be the same work."""
    rows = setting.source.pairs("test", language)
    whole = list(dict.fromkeys(f"{row.first} {row.second}" for row in rows))
    # By characters: that is what sentence-transformers sorts by, so a pass has the padding of the whole set.
    chosen = spread([len(text) for text in whole], count, setting.seed)
    return [whole[i] for i in chosen]


def vectors_of(model: Model, texts: Sequence[str], layer: int) -> FloatArray:
    """Mean-pooled vectors of one layer, in the order of the texts."""
    with TemporaryDirectory() as out:
        found = embed(
            model,
            texts,
            ENCODING,
            layers=[layer],
            poolings=["mean"],
            out=Path(out),
            micro_batch_tokens=MICRO_BATCH_TOKENS,
        )
        vectors: FloatArray = found.matrix(layer, "mean")[found.rows]
        return vectors


def same_vectors(answers: Mapping[str, FloatArray], base: str, near: float) -> Agreement:
    """The same direction for every text."""
    ours, differences, largest = _unit(answers[base]), [], 0.0
    for name, theirs in answers.items():
        distances = 1 - (ours * _unit(theirs)).sum(axis=1)
        largest = max(largest, float(distances.max()))
        for row in np.flatnonzero(~(distances <= near)):
            differences.append(Difference(f"text {row}: {name}", float(distances[row])))
    return Agreement(f"{len(ours)} vectors, largest cosine distance {largest:.1e}", differences, near)


def _unit(vectors: FloatArray) -> FloatArray:
    wide = vectors.astype(np.float64)
    unit: FloatArray = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit
