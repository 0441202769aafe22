"""What there is to choose from: tasks with their defaults and marks, families of models. No torch here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xstilts import tasks
from xstilts.memory.dimensions import dimensions
from xstilts.model_choice import ModelChoice
from xstilts.model_source import config_of, find_model
from xstilts.models.families import FAMILIES
from xstilts.shapes import SHAPES, shape_config, weights
from xstilts.tasks.task import Task


def known_tasks(task_files: Iterable[Path] = ()) -> list[Task]:
    """Targets, intermediate tasks, then those of ``task_files``."""
    return [*tasks.targets(), *tasks.intermediate(), *(tasks.load_file(path) for path in task_files)]


def describe_tasks(task_files: Iterable[Path] = ()) -> list[dict[str, Any]]:
    """Every task as plain data: what it is, and each default with its mark (FACTS: read, recalled ...)."""
    return [
        {
            "name": task.name,
            "title": task.title,
            "role": task.role,
            "type": task.type.name,
            "group": task.group,
            "labels": list(getattr(task.type, "labels", ())),
            "languages": list(task.languages),
            "main_score": list(task.main_score),
            "trains_on": task.trains_on,
            "files": {split: [list(layout) for layout in layouts] for split, layouts in task.files.items()},
            "training": task.training.model_dump(mode="json") if task.trains_on else None,
            "encoding": task.encoding.model_dump(mode="json"),
            "marks": dict(task.marks),
            "counts": {split: dict(counts) for split, counts in task.counts.items()},
            "paper": task.paper,
            "bibtex": task.bibtex,
            "licence": task.licence,
            "address": task.address,
            "fetch": task.fetch,
        }
        for task in known_tasks(task_files)
    ]


def describe_models(folders: Iterable[Path] = ()) -> dict[str, Any]:
    """Families whose packed execution is verified, and what each of ``folders`` is."""
    exports = {name: [f"AutoModel{head.suffix}" for head in family.heads.values()] for name, family in FAMILIES.items()}
    families = [{"family": name, "execution": "packed", "exports": classes} for name, classes in exports.items()]
    models = []
    for folder in folders:
        config_of(folder)  # said of a folder, not of a study's model
        found = find_model(folder.name, ModelChoice(path=str(folder)), _digest)
        models.append(
            {
                "folder": str(folder),
                "family": found.family,
                "num_layers": found.num_layers,
                "execution": "packed" if found.family in FAMILIES else "padded",
                "exports": exports.get(found.family, []),
                "identity": found.identity,
            }
        )
    return {"families": families, "models": models}


def describe_shapes(names: Iterable[str] | None = None, layers: int | None = None) -> list[dict[str, Any]]:
    """Named shapes as plain data: sizes and parameters, counted without loading anything; none named: all of them."""
    found = []
    for name in SHAPES if names is None else names:
        config = shape_config(name, layers)
        of = dimensions(config)
        found.append(
            {
                "shape": name,
                "family": of.family,
                "layers": of.layers,
                "decoder_layers": of.decoder_layers,
                "hidden_size": of.hidden,
                "inner_size": of.inner,
                "heads": of.heads,
                "vocabulary": of.vocabulary,
                "parameters": of.parameters,
                "encoder_parameters": sum(
                    w.count for w in weights(config) if not w.name.startswith(("decoder.", "lm_head."))
                ),
                "gib_fp32": round(4 * of.parameters / 2**30, 2),
                "gib_bf16": round(2 * of.parameters / 2**30, 2),
            }
        )
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
