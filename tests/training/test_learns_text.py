"""A text-to-text model learns rows of every cast by heart, and writes their answers to the letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xstilts.batching.texts import encode_texts
from xstilts.hyperparameters import Architecture
from xstilts.inference.generate import write_answers
from xstilts.models.text_model import TextModel
from xstilts.models.text_scratch import make_text_model
from xstilts.task_types import PairExample, SpanExample, TaggingExample
from xstilts.task_types.cast import Cast
from xstilts.task_types.span import Answer
from xstilts.tasks import load
from xstilts.text_hyperparameters import TextEncoding, TextTraining
from xstilts.training import train
from xstilts.training.texts import TextCourse

SHAPE = Architecture(hidden_size=48, num_layers=1, num_heads=2, intermediate_size=64, vocabulary=200)
NAMES, THINGS = ("Ada", "Ben", "Cleo", "Dan"), ("cat", "dog", "hat", "mat")
SETTINGS = TextTraining(
    optimizer="adamw", schedule="linear", learning_rate=5e-3, warmup=0.1, batch_tokens=400, max_steps=300,
    selection="last", dropout=0.0,
)  # fmt: skip


def rows() -> list[tuple[str, Any]]:
    """Four of each cast: task and example."""
    found: list[tuple[str, Any]] = []
    for k in range(4):
        name, thing, label = (
            NAMES[k % 4],
            THINGS[(k * 3 + k // 4) % 4],
            ("entailment", "neutral", "contradiction")[k % 3],
        )
        words, said = (name, "saw", thing), f"{name} saw a {thing}."
        found += [
            ("xnli", PairExample(f"n{k}", f"{name} saw", f"a {thing}", label)),
            ("panx", TaggingExample(f"e{k}", words, ("B-PER", "O", "B-ORG" if k % 2 else "O"))),
            ("udpos", TaggingExample(f"t{k}", words, ("PROPN", "VERB", "NOUN" if k % 2 else "ADJ"))),
            ("xquad", SpanExample(f"q{k}", said, "what?", (Answer(thing, said.index(thing)),))),
        ]
    return found


def test_rows_are_learned_by_heart_and_written_to_the_letter(tmp_path: Path) -> None:
    examples = rows()
    casts: dict[str, Cast] = {task: load(task).text_cast for task, _ in examples}  # type: ignore[misc]
    said = [casts[task].render(example) for task, example in examples]
    (tmp_path / "start").mkdir()
    make_text_model(tmp_path / "start", SHAPE, [row.inputs for row in said], 1)
    model = TextModel.load(tmp_path / "start", dropout=0.0)
    encoding = TextEncoding(max_input_length=64, max_target_length=40)
    course = TextCourse(encode_texts(said, model.tokenizer, encoding), SETTINGS, 1, model.padding_id)
    losses: list[float] = []
    train(
        model,
        course,
        micro_batch_tokens=2000,
        dev=None,
        progress=lambda *_, loss, **__: losses.append(loss),
        log=tmp_path / "log",
    )
    assert np.mean(losses[-20:]) < 0.02
    for task, cast in casts.items():
        asked = [example for name, example in examples if name == task]
        written, _ = write_answers(model, cast, asked, encoding, constrained=False, micro_batch_tokens=500)
        assert [row["text"] for row in written] == [cast.render(example).target for example in asked]
        answers = [load(task).type.answer(cast.parse(e, row["text"])) for e, row in zip(asked, written, strict=True)]
        golds = [load(task).type.gold(e) for e in asked]
        assert load(task).metric(golds, answers, "en")[load(task).main_score[0]] == 100
