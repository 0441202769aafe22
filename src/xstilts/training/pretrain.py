"""The first phase from scratch: a vocabulary and an encoder made from text, trained by masked LM and translation LM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from xstilts.batching.masking import Masking
from xstilts.errors import TrainingError
from xstilts.graph.disk import digest_file
from xstilts.hyperparameters import Pretraining
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.models.precision import Precision
from xstilts.models.scratch import make_model
from xstilts.task_types import Features, Head, Tokenizer
from xstilts.task_types.base import FeatureBuilder
from xstilts.task_types.classification import truncated
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.loop import Progress, train
from xstilts.training.masked_lm import Corpus, MaskedLMCourse, shares

Translations = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Texts:
    """What a language model learns from.

    Args:
        text: language -> its lines.
        bitext: language -> its lines with their translations.
    """

    text: Mapping[str, Sequence[str]]
    bitext: Mapping[str, Translations]


def pretrain(
    texts: Texts,
    settings: Pretraining,
    *,
    start: Path,
    out: Path,
    precision: Precision,
    device: str,
    micro_batch_tokens: int,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Make a model and train it; leaves ``model/`` (an ordinary masked-LM folder) and ``training.jsonl`` in ``out``.

    Args:
        texts: of every language of ``settings``.
        settings: sizes, objective and hyper-parameters; the last step is kept.
        start: an empty folder for the untrained model.
        out: where the result goes.
        precision, device, micro_batch_tokens: as for any training.
        progress: called after every step.
        checkpoints: where to go on from and to save; one of another vocabulary is passed over.

    Returns:
        Counts, kept with the node.

    Raises:
        TrainingError: there is bitext to learn from, but none was given.
    """
    if settings.translation and not texts.bitext:
        raise TrainingError(
            "a share of translations is asked for, but there is no bitext", where="pretrain.translation"
        )
    lines = chain(*texts.text.values(), chain.from_iterable(chain(*texts.bitext.values())))
    vocabulary = make_model(start, settings.model, lines, settings.seed)
    dropouts = {name: getattr(settings.training, name) for name in ("dropout", "attention_dropout")}
    head = Head("masked_lm", vocabulary)
    model = Model.start(start, head, settings.seed, precision=precision, device=device, **dropouts)
    features, corpora = encode_corpora(texts, model.tokenizer, settings)
    masking = Masking.of(model.tokenizer, settings.mask)
    summary = train(
        model,
        MaskedLMCourse(features, corpora, masking, settings.training, settings.seed),
        micro_batch_tokens=micro_batch_tokens,
        dev=None,
        progress=progress,
        log=out / "training.jsonl",
        checkpoints=checkpoints and _with_vocabulary(checkpoints, start),
    )
    export(model, out / "model", "masked_lm", "masked_lm")
    return {
        "vocabulary": vocabulary,
        "parameters": sum(p.numel() for p in model.parameters()),
        "lines": {language: len(found) for language, found in texts.text.items()},
        "translations": {language: len(found) for language, found in texts.bitext.items()},
        "encoding": features.counts,
        "training": summary.as_json(),
        "execution": f"{model.encoder.execution.kind}: {model.encoder.execution.reason}",
    }


def _with_vocabulary(checkpoints: Checkpoints, start: Path) -> Checkpoints:
    """The vocabulary is made anew at every attempt; under another one of the same size old weights would fit and be noise."""
    return replace(checkpoints, of=f"{checkpoints.of}, vocabulary {digest_file(start / 'tokenizer.json')}")


def encode_corpora(texts: Texts, tokenizer: Tokenizer, settings: Pretraining) -> tuple[Features, list[Corpus]]:
    """Every line as one sequence, corpus after corpus, and the share of draws of each corpus.

    A translation is one sequence of both sides, each first in turn, so that neither is always the first (Conneau and
    Lample 2019 have positions start anew; here they go on, as XLM-R's do).
    """
    builder, places = FeatureBuilder(), []
    corpora: list[list[str | tuple[str, str]]] = [list(found) for found in texts.text.values()]
    corpora += [[pair if i % 2 else pair[::-1] for i, pair in enumerate(pairs)] for pairs in texts.bitext.values()]
    for found in corpora:
        first = len(builder.example)
        for ids, types, dropped in truncated(tokenizer, found, settings.model.max_length):
            builder.add(len(builder.example), ids, types, ())
            builder.counts["dropped_tokens"] += dropped
            builder.counts["truncated_examples"] += dropped > 0
        places.append((first, len(found)))
    translation = settings.translation if texts.bitext else 0.0
    of_text = shares([len(found) for found in texts.text.values()], settings.alpha)
    of_bitext = shares([len(found) for found in texts.bitext.values()], settings.alpha) if texts.bitext else []
    weights = [(1 - translation) * s for s in of_text] + [translation * s for s in of_bitext]
    drawn = [Corpus(first, size, weight) for (first, size), weight in zip(places, weights, strict=True)]
    return builder.build(len(builder.example), None), drawn
