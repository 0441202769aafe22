"""What each sub-word costs that a text-to-text model writes: answers of forced lengths, whatever the model would have said.

The length of an answer decides what it costs, and a model with random weights never ends one, so lengths are set: no row ends
earlier, none goes on. For each length offline (all rows at once) and single-stream (one row a query), in fresh processes. The
time to the first token is the latency of answers of one sub-word; each further one takes its share of what a longer one takes
more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from xstilts.bench.load import read_load, write_load
from xstilts.bench.request import answer_of
from xstilts.device import fingerprint
from xstilts.errors import MeasurementError, ModelError
from xstilts.model_source import TEXT_TO_TEXT, drawn_weights
from xstilts.rows import choose_rows, without_gold
from xstilts.task_types.casts import cast_as_json, cast_of_json
from xstilts.tasks.folder import DataFolder, read_examples
from xstilts.tasks.task import Task

Json = dict[str, Any]
MOST_READ = 1024
"""Sub-words of an input, as mT5 cuts them."""


@dataclass(frozen=True)
class Writing:
    """What is measured.

    Args:
        written: forced lengths of answers, in sub-words.
        language, split, rows: which rows of the target are read, and how many.
        runs: fresh processes.
        seconds: of each scenario of each length, at least.
        precision, device, threads: what it runs on.
        batch_tokens: sub-words that are read in one pass, at most.
    """

    written: tuple[int, ...] = (1, 8, 32)
    language: str = "en"
    split: Literal["dev", "test"] = "test"
    rows: int = 32
    runs: int = 3
    seconds: float = 3.0
    precision: str = "fp32"
    device: str = "cpu"
    threads: int = 1
    batch_tokens: int = 4096


def measure_writing(
    folder: Path, target: Task, data: Path, asked: Writing, progress: Callable[..., None] = lambda *_, **__: None
) -> Json:
    """Measure a text-to-text folder: it reads a target's rows by the target's cast and writes so many sub-words for each.

    Args:
        folder: a text-to-text model.
        target: whose rows are read.
        data: the data folder.
        asked: the rest.
        progress: told ``(done, total, unit)`` after every run.

    Returns:
        The record: ``about`` and, for each run, what ``write`` saw.

    Raises:
        ModelError: the folder is no text-to-text model.
        MeasurementError: no rows, a target that is not said in text, or a measured process failed.
    """
    _check_family(folder)
    cast, files = target.text_cast, DataFolder(data.absolute(), {}).files(target, asked.split, asked.language)
    if cast is None or not files:
        missing = "is never said in text" if cast is None else f"has no {asked.split} rows in {asked.language}"
        raise MeasurementError(f"{target.name} {missing}", where=str(data))
    rows = without_gold(choose_rows(list(read_examples(target, files, asked.language, ())), asked.rows))
    with TemporaryDirectory(prefix="xstilts-writing-") as scratch:
        load = Path(scratch) / "load.json"
        write_load(load, target.type, {asked.language: rows})
        request = {**asdict(asked), "folder": str(folder.resolve()), "task": target.name, "load": str(load)}
        found = []
        for run in range(asked.runs):
            told = {"kind": "write", **request, "cast": cast_as_json(cast), "seed": run + 1}
            found.append(answer_of(told, asked.threads))
            progress(run + 1, asked.runs, "runs")
    about = {"model": folder.name, "random_weights": drawn_weights(folder), "task": target.name, **asdict(asked)}
    device = fingerprint(asked.device, asked.threads, asked.precision)
    return {"about": {**about, "rows": len(rows), "device": device}, "runs": found}


def _check_family(folder: Path) -> None:
    family = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if family not in TEXT_TO_TEXT:
        raise ModelError(f"{family} is an encoder: it writes no text", where=str(folder), hint="leave out --written")


def write(request: Json) -> Json:
    """In the measured process: load, warm up, then every length up and down again, so that a drift meets all alike."""
    import torch

    from xstilts import tasks
    from xstilts.batching.texts import encode_texts
    from xstilts.bench.clock import SystemClock
    from xstilts.bench.scenarios import offline, single_stream
    from xstilts.graph.worker import peak_memory_bytes
    from xstilts.inference.generate import generate
    from xstilts.models.text_model import TextModel
    from xstilts.text_hyperparameters import TextEncoding

    torch.set_num_threads(request["threads"])
    started = time.perf_counter()
    model = TextModel.load(request["folder"], precision=request["precision"], device=request["device"])
    loaded = time.perf_counter() - started
    ((_, examples),) = read_load(Path(request["load"]), tasks.load(request["task"]).type).items()
    said = [cast_of_json(request["cast"]).render(example) for example in examples]
    encoding, budget = TextEncoding(max_input_length=MOST_READ), request["batch_tokens"]

    def system(samples: Sequence[int], length: int) -> None:
        features = encode_texts([said[i] for i in samples], model.tokenizer, encoding)
        texts = generate(model, features, max_new_tokens=length, min_new_tokens=length, micro_batch_tokens=budget)
        assert all(len(text.ids) == length for text in texts)

    every = range(len(said))
    lengths = request["written"]
    system(every, max(lengths))
    system([0], max(lengths))
    seen: dict[int, Json] = {length: {"offline_s": [], "latencies_s": []} for length in lengths}
    clock, half = SystemClock(), request["seconds"] / 2
    for turn, length in enumerate([*lengths, *reversed(lengths)]):

        def forced(samples: Sequence[int], length: int = length) -> None:
            system(samples, length)

        passes = offline(forced, {"": every}, min_seconds=half, min_passes=1, clock=clock)
        seen[length]["offline_s"] += passes[""]
        seed = request["seed"] * len(lengths) * 2 + turn
        queries = single_stream(forced, len(said), min_seconds=half, min_queries=len(said), seed=seed, clock=clock)
        seen[length]["latencies_s"] += [query.latency_s for query in queries]
    return {
        "load_s": loaded,
        "parameters": sum(p.numel() for p in model.parameters()),
        "read": int(encode_texts(said, model.tokenizer, encoding).inputs.offsets[-1]),
        "lengths": [{"written": length, **seen[length]} for length in lengths],
        "peak_bytes": peak_memory_bytes(),
        "device_peak_bytes": torch.cuda.max_memory_reserved(model.device) if model.device.type == "cuda" else None,
    }
