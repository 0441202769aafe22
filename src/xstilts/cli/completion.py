"""The verb ``completion``, and what a shell may offer where the parser knows nothing: tasks, recipes, studies, models, arms.

A shell asks the command line at every TAB, so nothing here may be slow or fail: what cannot be looked up is not offered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xstilts.errors import XstiltsError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "_XSTILTS_COMPLETE"
"""Set by the shell when it asks what may come next."""


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="For which shell.")],
) -> None:
    """Print the lines that let a shell complete verbs, options, tasks, recipes and studies at TAB.

    bash: eval "$(xstilts completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, behind compinit. fish: save it as
    ~/.config/fish/completions/xstilts.fish.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # it has no other public name

    sys.stdout.write(get_completion_script(prog_name="xstilts", complete_var=VARIABLE, shell=shell) + "\n")


def answer_shells() -> None:
    """Make the parser answer in the words of the shell that asks, if one does."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # as above

        completion_init()


def target_names() -> Iterable[str]:
    """The target tasks."""
    from xstilts.tasks import targets

    return [task.name for task in targets()]


def task_names() -> Iterable[str]:
    """All tasks of the package."""
    from xstilts.tasks import names

    return names()


def study_files(incomplete: str) -> Iterator[str]:
    """Recipes, and the study files in the folder that is being typed."""
    recipes = Path(__file__).parents[1] / "recipes"
    yield from sorted(path.stem for path in recipes.glob("*.yaml"))
    typed = Path(incomplete + "_").parent
    with suppress(OSError):
        yield from sorted(str(path) for path in typed.iterdir() if path.suffix == ".yaml" or path.is_dir())


def shape_names() -> Iterable[str]:
    """The named shapes."""
    from xstilts.shapes import SHAPES

    return SHAPES


def stored_studies(context: typer.Context) -> Iterable[str]:
    """The studies of the store that is named before, or of the default one."""
    return sorted(_studies(context))


def stored_models(context: typer.Context) -> Iterable[str]:
    """The models of the studies that are asked of."""
    return sorted({name for study in _chosen(context) for name in study["models"]})


def stored_arms(context: typer.Context) -> Iterable[str]:
    """The arms of the studies that are asked of."""
    return sorted({name for study in _chosen(context) for name in study["arms"]})


def _chosen(context: typer.Context) -> Iterator[Mapping[str, Any]]:
    named = {value for value in context.params.values() if isinstance(value, str)}
    found = _studies(context)
    for name in named & found.keys() or found.keys():
        yield found[name].get("study", {"models": (), "arms": ()})


def _studies(context: typer.Context) -> dict[str, dict[str, Any]]:
    from xstilts.graph.store import Store

    root = Path(context.params.get("store") or os.environ.get("XSTILTS_STORE") or "store")
    if not root.is_dir():
        return {}
    try:
        return Store(root).studies()
    except (OSError, ValueError, XstiltsError):
        return {}
