"""The verb that says which intermediate task to try first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xstilts.cli import completion
from xstilts.cli.options import Device, JsonTo, StoreDir, emit, err, out, write_text
from xstilts.cli.published import DataIfAny, Records, own_studies
from xstilts.errors import StudyError


def recommend(
    target: Annotated[str, typer.Argument(help="The target task.", autocompletion=completion.target_names)],
    store: StoreDir = Path("store"),
    data: DataIfAny = None,
    model: Annotated[
        str | None, typer.Option("--model", help="NAME, or for a probe NAME=FOLDER: other models count less.")
    ] = None,
    records: Records = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="First run a short study of every task in the data folder.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training of the probe.")] = 60,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="Of all trainings of the probe.")] = 5e-5,
    device: Device = None,
    json_to: JsonTo = None,
) -> None:
    """Rank intermediate tasks for a target before the grid: from the store, from related results, from a short probe."""
    from xstilts.published.numbers import load_published
    from xstilts.recommend.ranking import as_json, rank, ranking_grids
    from xstilts.report.grid import print_grid

    name, _, folder = (model or "").partition("=")
    if probe:
        if data is None or not folder:
            raise StudyError(
                "a probe needs rows and a model", where="--probe", hint="give --data DIR and --model NAME=FOLDER"
            )
        _run_probe(target, name, Path(folder), data, store, device or ["cpu"], steps, learning_rate)
    there = store if probe or store.is_dir() or not records else None
    found = rank(own_studies(load_published(), there, records or ()), target, name or None)

    def show() -> None:
        for grid in ranking_grids(found):
            print_grid(grid, out)

    emit(json_to, as_json(found), show)


def _run_probe(
    target: str, name: str, folder: Path, data: Path, store: Path, devices: list[str], steps: int, rate: float
) -> None:
    """Write the probe's study file into this folder and run it: what is done of it already is not done again."""
    import yaml

    from xstilts import journey
    from xstilts.engines import local_engine
    from xstilts.graph.progress import Display
    from xstilts.recommend.probe import probe_study
    from xstilts.tasks.folder import DataFolder

    study = probe_study(target, name, {"path": str(folder.resolve())}, DataFolder(data), steps, rate)
    file = Path(f"{study.name}.yaml")
    text = yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise StudyError(
            "there is another study of this name", where=str(file), hint="remove it, or probe in another folder"
        )
    write_text(file, text)
    err.print(f"{file}: {len(study.arms)} arms of {steps} steps", markup=False, soft_wrap=True)
    with journey.open_store(store) as opened:
        planned = journey.plan_study(file, data, opened, devices=devices)
        slots = journey.resources(planned, devices)
        with Display(err, len(planned.graph.nodes)) as display:
            _, ended = journey.run_study(planned, opened, local_engine(slots), display)
    if not ended.complete:
        raise typer.Exit(1)
