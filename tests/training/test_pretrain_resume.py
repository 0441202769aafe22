"""Pre-training stopped and taken up again: its vocabulary is made anew, and old weights go with the old one only."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from xstilts.graph.disk import digest_file
from xstilts.hyperparameters import Architecture, Pretraining, Training
from xstilts.models import scratch
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.masked_lm import Texts
from xstilts.training.pretrain import pretrain

WORDS = ["bado", "kelu", "mira", "sonte", "gapu", "rile", "doma", "tesk", "vurhin", "joswal", "zepqui", "faxyth"]
TEXTS = Texts({"en": [f"{a} {b} {a}." for a in WORDS for b in WORDS]}, {})
SETTINGS = Pretraining(
    languages=("en",),
    model=Architecture(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=16, vocabulary=70, max_length=32),
    training=Training(max_steps=6, batch_size=4, learning_rate=1e-3, selection="last"),
)


class StoppedError(Exception):
    """Stands for the end of the process."""


class Place:
    """Attempts at one pre-training in one place."""

    def __init__(self, home: Path) -> None:
        self.home, self.attempts = home, 0

    def run(self, stop: int | None = None) -> dict[str, Any]:
        self.attempts += 1
        start, out = self.home / f"start{self.attempts}", self.home / f"out{self.attempts}"
        start.mkdir(parents=True)
        out.mkdir()

        def progress(done: int, total: int, unit: str, **shown: Any) -> None:
            if done == stop:
                raise StoppedError

        return pretrain(
            TEXTS,
            SETTINGS,
            start=start,
            out=out,
            precision="fp32",
            device="cpu",
            micro_batch_tokens=400,
            progress=progress,
            checkpoints=Checkpoints(self.home / "checkpoints", "a node", 0.0),
        )

    def weights(self) -> str:
        """Digest of what the last attempt came to."""
        return digest_file(self.home / f"out{self.attempts}" / "model" / "model.safetensors")


@pytest.fixture
def stopped(tmp_path: Path) -> Place:
    """Stopped in its fourth step."""
    place = Place(tmp_path / "stopped")
    with pytest.raises(StoppedError):
        place.run(stop=4)
    return place


def use_another_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another release of the tokenizers library may: of equal size, with other sub-words."""
    real = scratch._train_tokenizer

    def other(folder: Path, texts: Iterable[str], shape: Architecture) -> int:
        return real(folder, [text[::-1] for text in texts], shape)

    monkeypatch.setattr(scratch, "_train_tokenizer", other)


def test_under_the_same_vocabulary_it_goes_on_to_the_same_weights(stopped: Place, tmp_path: Path) -> None:
    calm = Place(tmp_path / "calm")
    calm.run()
    (resumed,) = stopped.run()["training"]["resumed"]
    assert (resumed["step"], resumed["damaged"], resumed["same_conditions"]) == (3, (), True)
    assert stopped.weights() == calm.weights()


def test_under_another_vocabulary_of_equal_size_old_weights_are_passed_over(
    stopped: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (stopped.home / "start1" / "tokenizer.json").read_bytes()
    use_another_vocabulary(monkeypatch)
    calm = Place(tmp_path / "calm")
    expected = calm.run()
    counts = stopped.run()
    assert (stopped.home / "start2" / "tokenizer.json").read_bytes() != old
    assert counts["vocabulary"] == expected["vocabulary"] == SETTINGS.model.vocabulary, "so the old weights would fit"
    (resumed,) = counts["training"]["resumed"]
    assert resumed["step"] == 0
    assert "step-00000003/checkpoint.json (of another training or version)" in resumed["damaged"]
    assert stopped.weights() == calm.weights()


def test_another_release_of_tokenizers_is_another_condition(stopped: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it makes the same vocabulary, it may cut a text otherwise."""
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.0" if name == "tokenizers" else real(name))
    (resumed,) = stopped.run()["training"]["resumed"]
    assert (resumed["step"], resumed["same_conditions"], resumed["differs"]) == (3, False, ("tokenizers",))
