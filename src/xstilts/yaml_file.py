"""YAML from outside: plain values only, no deeper and no larger than people write, aliases counted as what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.nodes import Node

from xstilts.errors import XstiltsError
from xstilts.outside import read_bytes

MOST_BYTES = 2**18
MOST_DEPTH = 40
MOST_VALUES = 50_000
"""With every alias written out: nine lines of aliases can stand for thousands of millions of values."""


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[int, int] = {}  # of finished nodes, by id

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """As YAML says, within the limits."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        alias, before = self.check_event(yaml.AliasEvent), self._values
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ComposerError(None, None, f"it nests deeper than {MOST_DEPTH}", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise ComposerError(None, None, "an alias stands inside of what it stands for", mark)
        self._values += self._sizes[id(node)] if alias else 1
        if self._values > MOST_VALUES:
            raise ComposerError(None, None, f"it holds more than {MOST_VALUES:,} values, aliases written out", mark)
        self._sizes.setdefault(id(node), self._values - before)
        return node

    def compose_scalar_node(self, anchor: dict[Any, Node]) -> yaml.ScalarNode:
        """Text that a file can hold."""
        node = super().compose_scalar_node(anchor)
        if not str(node.value).isascii() and any("\ud800" <= c <= "\udfff" for c in node.value):
            raise ComposerError(None, None, "half of a surrogate pair is no character", node.start_mark)
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """The value of a node; what Python says of a date that no calendar has, or of a !!int that is none, has its place."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as problem:
            raise ConstructorError(
                None, None, f"a value is not what it is said to be: {problem}", node.start_mark
            ) from None


def parse_yaml(text: str, where: str, error: type[XstiltsError]) -> Any:
    """The value of one YAML document; ``error`` with ``where:line`` if there is none."""
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        raise error(
            f"not YAML: {getattr(problem, 'problem', None) or problem}",
            where=f"{where}:{mark.line + 1}" if mark else where,
        ) from None
    except (ValueError, ArithmeticError) as problem:  # of the text itself: a number of a character that is none
        line = f":{loader.line + 1}" if loader is not None else ""
        raise error(f"not YAML: {problem}", where=where + line) from None
    finally:
        if loader is not None:
            loader.dispose()


def read_yaml(path: Path, error: type[XstiltsError]) -> Any:
    """The value in a YAML file; ``error`` if it cannot be read, is larger than people write, or is no YAML.

    Raises:
        FileNotFoundError: as it is, for who knows what may have been meant.
    """
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as problem:
        said = getattr(problem, "strerror", None) or problem
        raise error(f"cannot be read as UTF-8 text: {said}", where=str(path)) from None
    return parse_yaml(text, str(path), error)
