"""The first phase from scratch: a vocabulary and an encoder made from text, trained by masked LM and translation LM."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from xstilts.errors import TrainingError
from xstilts.graph.disk import digest_file
from xstilts.hyperparameters import Pretraining
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.models.precision import Precision
from xstilts.models.recomputing import recompute_layers
from xstilts.models.scratch import make_model
from xstilts.task_types import Head
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.loop import Progress, train
from xstilts.training.masked_lm import Texts, masked_lm_course


def pretrain(
    texts: Texts,
    settings: Pretraining,
    *,
    start: Path,
    out: Path,
    precision: Precision,
    device: str,
    micro_batch_tokens: int,
    gradient_checkpointing: bool = False,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Make a model and train it; leaves ``model/`` (an ordinary masked-LM folder) and ``training.jsonl`` in ``out``.

    Args:
        texts: of every language of ``settings``.
        settings: sizes, objective and hyper-parameters; the last step is kept.
        start, out: an empty folder for the untrained model, and where the result goes.
        precision, device, micro_batch_tokens, gradient_checkpointing: as for any training.
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
    if gradient_checkpointing:
        recompute_layers(model.encoder)
    longest = settings.model.max_length
    course = masked_lm_course(texts, model.tokenizer, settings, settings.training, settings.seed, max_length=longest)
    summary = train(
        model,
        course,
        micro_batch_tokens=micro_batch_tokens,
        dev=None,
        progress=progress,
        log=out / "training.jsonl",
        checkpoints=checkpoints and with_vocabulary(checkpoints, start),
    )
    export(model, out / "model", "masked_lm", "masked_lm")
    return {
        "vocabulary": vocabulary,
        "parameters": sum(p.numel() for p in model.parameters()),
        **texts.counts,
        "encoding": course.features.counts,
        "training": summary.as_json(),
        "execution": f"{model.encoder.execution.kind}: {model.encoder.execution.reason}",
    }


def with_vocabulary(checkpoints: Checkpoints, start: Path) -> Checkpoints:
    """The vocabulary is made anew at every attempt; under another one of the same size old weights would fit and be noise."""
    return replace(checkpoints, of=f"{checkpoints.of}, vocabulary {digest_file(start / 'tokenizer.json')}")
