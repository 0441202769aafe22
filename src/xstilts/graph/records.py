"""The records of a store that no ``files.json`` vouches for: studies carry a digest of their own, nodes are looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xstilts.errors import StoreError, shown
from xstilts.graph.disk import as_text, read_json, write_json
from xstilts.graph.node import canonical, sha256_text

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
    """Write what was planned, with its digest: whoever reads it relies on every field."""
    plain = json.loads(as_text(dict(payload)))  # as it will be read: names of fields are text there
    write_json(path, {**plain, _DIGEST: sha256_text(canonical(plain))}, compact=True)


def read_study(path: Path) -> dict[str, Any]:
    """What ``write_study`` wrote, without the digest; a record from before there were digests is looked at only.

    Raises:
        StoreError: it is not what was written, or no record of a study.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise StoreError(f"no record of a study: {shown(found)}", where=str(path), hint=_HINT)
    digest = found.pop(_DIGEST, None)
    if digest is not None and digest != _digest(found):
        raise StoreError("the record of a study was changed after it was written", where=str(path), hint=_HINT)
    nodes = found.get("nodes")
    wrong = next(filter(None, map(not_a_node, nodes)), "") if isinstance(nodes, list) else f"nodes {shown(nodes)}"
    if wrong:
        raise StoreError(f"no record of a study: it has {wrong}", where=str(path), hint=_HINT)
    return found


def _digest(plain: dict[str, Any]) -> str:
    try:
        return sha256_text(canonical(plain))
    except ValueError:  # a number that is none: nobody wrote this
        return ""
