"""Which study is meant: a file, a recipe shipped with the package, or one made in Python; and what is said beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xstilts.errors import MissingNameError, StudyError
from xstilts.model_choice import ModelChoice
from xstilts.study import Study, load_study, parse_study

RECIPES = Path(__file__).parent / "recipes"


def recipes() -> dict[str, Path]:
    """The studies shipped with the package by their names."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}


def read_study(file: Path) -> Study:
    """A study file, or a recipe shipped with the package by its name.

    Raises:
        StudyError: a folder, or a file that is no study.
        MissingNameError: there is neither a file nor a recipe of this name.
    """
    shipped = recipes()
    if not file.is_file() and str(file) in shipped:  # a folder may have a recipe's name: the pocket world's data
        return load_study(shipped[str(file)])
    if file.is_dir():
        inside = sorted(path.name for path in file.glob("*.y*ml"))
        hint = f"in it: {', '.join(inside[:5])}" if inside else f"shipped with the package: {', '.join(shipped)}"
        raise StudyError("this is a folder, and a study is a file or a recipe's name", where=f"{file}/", hint=hint)
    if not file.exists() and not file.suffix:
        raise MissingNameError("recipe or study file", str(file), shipped)
    return load_study(file)


def recorded_study(record: Mapping[str, Any]) -> Study:
    """A study as a store recorded it.

    Raises:
        StudyError: another version of this package recorded what this one does not know.
    """
    # An idle mixture is the one field that a study file may not say where it has no meaning.
    arms = {
        name: {k: v for k, v in arm.items() if k != "mixture" or isinstance(arm["intermediate"], list | tuple)}
        for name, arm in record["arms"].items()
    }
    return parse_study({**record, "arms": arms})


def chosen_study(
    source: Path | Study, model_folders: Mapping[str, Path] | None = None, seeds: Sequence[int] | None = None
) -> Study:
    """The study with its models where they lie, and with other seeds where they are given.

    Relative folders of its models start beside the study file; of a study without a file, in the current folder.

    Raises:
        StudyError: as ``read_study``; seeds that cannot be.
        MissingNameError: ``model_folders`` names a model that the study has not.
    """
    study, beside = (source, Path.cwd()) if isinstance(source, Study) else (read_study(source), source.resolve().parent)
    study = _placed(study, model_folders or {}, beside)
    return study if seeds is None else parse_study({**dict(study), "seeds": seeds}, where="")


def _placed(study: Study, model_folders: Mapping[str, Path], beside: Path) -> Study:
    models = dict(study.models)
    for name, folder in model_folders.items():
        if name not in models:
            raise MissingNameError("model", name, models, where="--model")
        chosen = models[name]
        models[name] = ModelChoice(path=str(folder.resolve()), note=chosen.note, keep_layers=chosen.keep_layers)
    for name, choice in models.items():  # an absolute folder stays what it is
        placed = {f: str(beside / of) for f in ("path", "tokenizer") if (of := getattr(choice, f))}
        models[name] = choice.model_copy(update=placed)
    return study.model_copy(update={"models": models})
