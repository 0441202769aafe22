"""Where the time of the pocket study's trainings goes, and how far they are from what its profile allows.

    python -m benchmarks.pocket_profile [--data FOLDER] [--steps 60] [--out FILE.json]

Two trainings as the recipe has them, pre-training and fine-tuning on XNLI, each looked at for some steps after a start:
first by the clock alone, then with torch's profiler (self time of operators). Two bounds follow: what the matrix products
took here, if all else were free; and what they would take at the rate of one large product, measured before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import environment
from xstilts import tasks
from xstilts.bench.peak import matrix_product_flops_per_s
from xstilts.data.text import read_text, read_translations
from xstilts.hyperparameters import Pretraining
from xstilts.journey import read_study
from xstilts.models.model import Model
from xstilts.models.trained_rows import trained_rows
from xstilts.pocket import make_world
from xstilts.rows import choose_rows
from xstilts.study import Study
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.training import TaskCourse, train
from xstilts.training.masked_lm import Texts
from xstilts.training.pretrain import pretrain

MICRO_BATCH_TOKENS = 4096
START_STEPS = 20
GROUPS = {
    "attention": ("scaled_dot_product",),
    "products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::baddbmm"),
    "update": ("adam", "foreach", "norm"),
    "rows": ("index", "embedding", "gather", "scatter", "aten::cat", "copy_", "contiguous"),
}


class Watch:
    """Told after every step: times some steps, then profiles as many."""

    def __init__(self, steps: int) -> None:
        self.steps, self._start = steps, 0.0
        self.seconds_per_step = 0.0
        self._profile = profile(activities=[ProfilerActivity.CPU], with_flops=True)

    def __call__(self, done: int, total: int, unit: str, **shown: Any) -> None:
        """The next step is done."""
        if done == START_STEPS:
            self._start = time.perf_counter()
        if done == START_STEPS + self.steps:
            self.seconds_per_step = (time.perf_counter() - self._start) / self.steps
            self._profile.start()
        if done == self.last:
            self._profile.stop()

    @property
    def last(self) -> int:
        """The step that ends it."""
        return START_STEPS + 2 * self.steps

    def found(self, peak: float) -> dict[str, Any]:
        """Milliseconds of a step by group, the rest, and both bounds. ``peak``: operations a second."""
        groups, flops = dict.fromkeys((*GROUPS, "other operators"), 0.0), 0.0
        for event in self._profile.key_averages():
            name = str(event.key)
            group = next((g for g, parts in GROUPS.items() if any(p in name for p in parts)), "other operators")
            groups[group] += 1e-3 * event.self_cpu_time_total / self.steps
            flops += event.flops / self.steps
        step = 1e3 * self.seconds_per_step
        return {
            "ms_a_step": step,
            "ms_by_operators_profiled": groups,
            "gflop_of_products": flops / 1e9,
            "gflop_per_s_in_products": 1e-6 * flops / groups["products"],
            "bound_ms_products_as_they_ran": groups["products"],
            "bound_ms_products_at_peak": 1e3 * flops / peak,
            "share_of_peak": 1e3 * flops / peak / step,
        }


def pretraining(study: Study, data: Path, out: Path, watch: Watch) -> None:
    """The recipe's pre-training, ended early; leaves ``model/`` in ``out``."""
    settings = next(iter(study.models.values())).pretrain
    assert isinstance(settings, Pretraining) and settings.bitext and isinstance(settings.text, str)
    short = settings.model_copy(update={"training": settings.training.model_copy(update={"max_steps": watch.last})})
    places = {lang: data / settings.bitext.replace("{language}", lang) for lang in settings.languages}
    texts = Texts(
        {lang: read_text(data / settings.text.replace("{language}", lang)) for lang in settings.languages},
        {lang: read_translations(path) for lang, path in places.items() if path.is_file()},
    )
    with TemporaryDirectory() as start:
        pretrain(
            texts,
            short,
            start=Path(start),
            out=out,
            precision="fp32",
            device="cpu",
            micro_batch_tokens=MICRO_BATCH_TOKENS,
            progress=watch,
        )


def fine_tuning(study: Study, data: Path, out: Path, watch: Watch) -> None:
    """The recipe's fine-tuning on XNLI, from the pre-trained model in ``out``."""
    task, folder = tasks.load("xnli"), DataFolder(data)
    rows = choose_rows(
        read_examples(task, folder.files(task, "train", "en"), "en"), study.train_rows_of("xnli", "target")
    )
    settings = study.training_of("xnli", "target", task.training).model_copy(update={"max_steps": watch.last})
    model = Model.start(
        out / "model", task.type.head, 1, dropout=settings.dropout, attention_dropout=settings.attention_dropout
    )
    features = task.type.encode(rows, model.tokenizer, study.encoding_of("xnli", "target", task.encoding))
    with trained_rows(model.encoder, features.input_ids):
        train(
            model,
            TaskCourse(task.type, features, settings, 1),
            micro_batch_tokens=MICRO_BATCH_TOKENS,
            dev=None,
            progress=watch,
            log=out / "fine-tuning.jsonl",
        )


def main() -> None:
    """Run both, print, and write if asked."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, help="a pocket world; made for this run otherwise")
    made.add_argument("--steps", type=int, default=60)
    made.add_argument("--out", type=Path)
    arguments = made.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    study, found = read_study(Path("pocket")), {}
    with TemporaryDirectory() as scratch:
        data = arguments.data or Path(scratch) / "pocket"
        if not data.exists():
            make_world(data)
        out = Path(scratch) / "out"
        out.mkdir()
        courses: dict[str, Callable[..., None]] = {"pre-training": pretraining, "fine-tuning on XNLI": fine_tuning}
        for name, course in courses.items():
            before, watch = matrix_product_flops_per_s("cpu", "fp32"), Watch(arguments.steps)
            course(study, data, out, watch)
            peak = (before + matrix_product_flops_per_s("cpu", "fp32")) / 2
            found[name] = {**watch.found(peak), "gflop_per_s_of_one_large_product": peak / 1e9}
            print(name, json.dumps(found[name], indent=1))
    if arguments.out:
        record = {"environment": environment(), "threads": torch.get_num_threads(), "trainings": found}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
