"""The reference of the command line, from the parser itself: what it takes is what stands here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from xstilts.cli import EPILOG, app


def page() -> str:
    """Every verb with its arguments and options."""
    lines = ["# Command line\n", "Made from the parser; `xstilts VERB --help` says the same.\n", f"{EPILOG}\n"]
    return "\n".join([*lines, *_group(typer.main.get_command(app), "xstilts", 2)])


def verbs() -> Iterator[tuple[str, Any]]:
    """Every verb's whole name with its command."""

    def below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        for verb, each in command.commands.items():
            yield from below(each, f"{name} {verb}") if hasattr(each, "commands") else [(f"{name} {verb}", each)]

    return below(typer.main.get_command(app), "xstilts")


def _group(command: Any, name: str, level: int) -> Iterator[str]:
    for verb, each in command.commands.items():
        whole = f"{name} {verb}"
        yield f"{'#' * level} {whole}\n"
        yield f"{_escaped(each.help)}\n"
        if hasattr(each, "commands"):
            yield from _group(each, whole, level + 1)
        else:
            yield from _verb(each, whole)


def _verb(command: Any, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    records = [(of, of.get_help_record(context)) for of in command.params]
    for kind, title in (("argument", "Argument"), ("option", "Option")):
        rows = [record for of, record in records if of.param_type_name == kind and record is not None]
        if rows:
            yield f"| {title} | |\n|---|---|"
            yield from (f"| `{left}` | {_escaped(right)} |" for left, right in rows)
            yield ""


def _escaped(text: str) -> str:
    for sign in "\\|<>[]*_":
        text = text.replace(sign, f"\\{sign}")
    return text
