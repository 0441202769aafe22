"""The records of a store that no ``files.json`` vouches for: studies carry a digest of their own, nodes are looked at."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from xstilts.errors import StoreError, shown
from xstilts.graph.disk import as_text, read_json, write_whole
from xstilts.graph.node import sha256_text

FRESH_NS = 2_000_000_000
_DIGEST = "sha256"
_HINT = "remove this file, and plan or run the study again: no finished node is lost"
_FIELDS: Mapping[str, type] = {"key": str, "kind": str, "version": int, "spec": dict, "parents": dict, "labels": dict}


def not_a_node(record: Any, *objects: str) -> str:
    """What is wrong with a record of a node, which also needs these objects; empty for nothing."""
    if not isinstance(record, dict):
        return f"{shown(record)} in its place"
    for name, kind in {**_FIELDS, **dict.fromkeys(objects, dict)}.items():
        if not isinstance(record.get(name), kind):
            return f"{name} {shown(record.get(name))}"
    if not all(isinstance(parent, str) for parent in record["parents"].values()):
        return f"parents {shown(record['parents'])}"
    return ""


def not_files(files: dict[str, Any]) -> str:
    """What is wrong with the files of a node: each has its digest, and none lies outside of the node."""
    for name, promised in files.items():
        if not isinstance(promised, dict) or ".." in name.split("/") or name.startswith("/") or "\0" in name:
            return f"a file {shown(name)}"
        if not isinstance(promised.get("sha256"), str) or type(promised.get("bytes")) is not int:
            return f"{shown(promised)} of {shown(name)}"
    return ""


def not_a_failure(record: Any) -> str:
    """What is wrong with the record of a failed attempt."""
    if not isinstance(record, dict):
        return shown(record)
    for name, kind in (("type", str), ("text", str), ("title", str), ("attempts", int)):
        if not isinstance(record.get(name), kind):
            return f"{name} {shown(record.get(name))}"
    return not_a_node(record.get("node"))


def write_study(path: Path, payload: Mapping[str, Any]) -> None:
    """Write what was planned; its last field is the digest of all before it, as whoever reads it relies on every field."""
    text = as_text(dict(payload), compact=True).rstrip().removesuffix("}")
    write_whole(path, f'{text},"{_DIGEST}":"{sha256_text(text)}"}}\n')


def read_study(path: Path) -> dict[str, Any]:
    """What ``write_study`` wrote, without the digest; a record from before there were digests is looked at only.

    A report asks a dozen times, and a record of 10,000 nodes takes a second: it is kept until the file is another one, and
    nobody may change what is given.

    Raises:
        StoreError: it is not what was written, or no record of a study. ``FileNotFoundError`` stays.
    """
    of = path.stat()
    if time.time_ns() - of.st_mtime_ns < FRESH_NS:  # it may change again under the same time stamp
        return _read_study(path)
    return _kept_study(path, (of.st_mtime_ns, of.st_size, of.st_ino))


@lru_cache(maxsize=8)
def _kept_study(path: Path, stamp: tuple[int, int, int]) -> dict[str, Any]:
    return _read_study(path)


def _read_study(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise StoreError(f"no record of a study: {shown(found)}", where=str(path), hint=_HINT)
    raw = path.read_bytes()
    if found.pop(_DIGEST, None) is not None or not raw.startswith(b"{\n"):  # records without were indented
        text, comma, rest = raw.rpartition(f',"{_DIGEST}":"'.encode())
        if not comma or rest != hashlib.sha256(text).hexdigest().encode() + b'"}\n':
            raise StoreError("the record of a study was changed after it was written", where=str(path), hint=_HINT)
    nodes = found.get("nodes")
    wrong = next(filter(None, map(not_a_node, nodes)), "") if isinstance(nodes, list) else f"nodes {shown(nodes)}"
    if wrong:
        raise StoreError(f"no record of a study: it has {wrong}", where=str(path), hint=_HINT)
    return found
