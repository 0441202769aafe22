"""udpos test rows, from words to tags, against transformers' pipeline.

Both see a sentence whole (up to 512 sub-words), as the pipeline cannot split it between words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from benchmarks.peers import pipelines
from benchmarks.race import Agreement, Contender, Difference, Race, Ready
from benchmarks.rows import LANGUAGES, spread
from benchmarks.setting import MICRO_BATCH_TOKENS, Setting
from xstilts.data.conll import UPOS
from xstilts.hyperparameters import Encoding
from xstilts.inference.predict import predict, predict_logits
from xstilts.models.model import Model
from xstilts.task_types import Tagging, TaggingExample
from xstilts.task_types.classification import log_softmax

ENCODING = Encoding(max_length=512)
NEAR = 1e-3, 0.1
"""Probabilities that differ by less are the same: in float32, in bfloat16."""
OURS = "xstilts"


def races(setting: Setting) -> Iterator[Race]:
    """One race: English and Chinese rows mixed."""
    task_type = Tagging(UPOS)
    whole = [row for language in LANGUAGES for row in _plain(setting, setting.source.tagged(language))]
    lengths = setting.encode(task_type, whole, ENCODING).lengths
    chosen = spread(lengths, setting.rows, setting.seed)
    examples, lengths = [whole[i] for i in chosen], lengths[chosen]
    features = setting.encode(task_type, examples, ENCODING)
    folder = setting.with_head("udpos", task_type.name, task_type.head, features)
    inputs = [list(e.words) for e in examples]
    tokens, flops = int(lengths.sum()), setting.flops(lengths.tolist(), reads=len(features.read))

    def ours() -> Ready:
        model = Model.load(folder, precision=setting.precision)

        def call() -> list[dict[str, Any]]:
            return predict(model, task_type, examples, ENCODING, micro_batch_tokens=MICRO_BATCH_TOKENS)[0]

        return Ready(call, computed=tokens)

    options = {"is_split_into_words": True, "ignore_labels": []}
    peers = pipelines("token-classification", folder, setting.precision, inputs, lengths, **options)

    def check(answers: Mapping[str, Any]) -> Agreement:
        logits = predict_logits(
            Model.load(folder, precision=setting.precision), features, micro_batch_tokens=MICRO_BATCH_TOKENS
        )
        return same_tags(answers, examples, np.exp(log_softmax(logits)), setting.near(*NEAR))

    yield Race(
        name="tag",
        unit="tokens",
        contenders={name: Contender(make, tokens, flops) for name, make in {OURS: ours, **peers}.items()},
        base=OURS,
        check=check,
        notes={"rows": len(examples), "tokens": tokens, "words": len(features.read)},
    )


def _plain(setting: Setting, examples: Sequence[TaggingExample]) -> list[TaggingExample]:
    """Sentences that fit whole and whose every word has a sub-word, as the pipeline has no answer for other words."""
    encoded = setting.tokenizer.encode([list(e.words) for e in examples], is_pretokenized=True)
    return [
        e
        for e, subwords in zip(examples, encoded, strict=True)
        if len(subwords.ids) <= ENCODING.max_length and set(range(len(e.words))) <= set(subwords.word_ids)
    ]


def same_tags(answers: Mapping[str, Any], examples: Sequence[TaggingExample], chances: Any, near: float) -> Agreement:
    """The same tag for every word, by the pipeline's answer at the word's first sub-word.

    Args:
        answers: ours as scored outputs, the pipelines' as entities.
        examples: the sentences.
        chances: probabilities of our tags, one row for each word.
        near: how far probabilities may lie apart.
    """
    differences: list[Difference] = []
    at = 0
    for i, example in enumerate(examples):
        places = list(accumulate((len(word) + 1 for word in example.words[:-1]), initial=0))
        own = answers[OURS][i]["tags"]
        for name in (name for name in answers if name != OURS):
            found: dict[int, Any] = {}
            for entity in answers[name][i]:
                found.setdefault(int(entity["start"]), entity)
            for w, (tag, place) in enumerate(zip(own, places, strict=True)):
                differences += _compared(f"{example.id} word {w}", name, tag, found.get(place), chances[at + w], near)
        at += len(example.words)
    tags = len({tag for output in answers[OURS] for tag in output["tags"]})
    return Agreement(f"tags of {at} words ({tags} tags occur)", differences, near)


def _compared(where: str, name: str, tag: str, entity: Any, chances: Any, near: float) -> Iterator[Difference]:
    if entity is None:
        yield Difference(f"{where}: {tag}, {name}: no answer", 1.0)
        return
    given = float(chances[UPOS.index(entity["entity"])])
    # Another tag than ours is a tie when ours comes out as likely.
    distance = max(abs(given - float(entity["score"])), float(chances[UPOS.index(tag)]) - given)
    if entity["entity"] != tag or not distance <= near:
        yield Difference(f"{where}: {tag}, {name}: {entity['entity']}", distance)
