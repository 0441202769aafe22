"""Valid files made invalid: every change is a function of the bytes and of one random stream, so each can be made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

Change = Callable[[bytes, Random], bytes]
MOST = 2**20
"""Bytes of a changed file: what is about size has tests of its own."""

TOKENS = (
    *(
        b"\0",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\r",
        b"\n\n\n",
        b"\t",
        b"\t\t\t\t",
        b"\x0b",
        b"\x0c",
        b"\x1b[2J",
        b'"',
        b"'",
        b"\\",
    ),
    *(
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        "\u2028".encode(),
        "\u202e".encode(),
        "\u200c".encode(),
    ),
    *(
        b"-1",
        b"1e999",
        b"NaN",
        b"Infinity",
        b"-0",
        b"9" * 30,
        b"9" * 5000,
        b"0x1f",
        "\u0663".encode(),
        "\u00b2".encode(),
    ),
    *(b"null", b"true", b'"\\ud800"', b"\\ud83d", b"[]", b"{}", b"[" * 3000, b'{"a":' * 3000, b"- " * 300, b"&a [*a]"),
    *(b"<<: *a", b"!!int x", b"2001-99-99", b"!!python/object/apply:os.system [exit]", b"../../../x", b"/dev/zero"),
    *(b"(<L ", b"(<T ", b")", b"# ", b"1-2", b"1.1", b"-", b"_", b"a" * 3000, b"{", b"}", b"[", b"]", b",", b":"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**30, 1e308, float("nan"), float("inf"), -0.5, "", " ", "x", "\0", "\ud800"),
    *(
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"a": {"a": {"a": []}}},
        "../../x",
        "a" * 3000,
        "0",
        "9" * 30,
        "1e999",
        [1, "a"],
    ),
)


def flip(data: bytes, random: Random) -> bytes:
    """Another value for some bytes."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8)) if found else 0):
        found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def truncate(data: bytes, random: Random) -> bytes:
    """A download that was cut off, or lost its beginning."""
    at = random.randrange(len(data) + 1)
    return data[:at] if random.random() < 0.8 else data[at:]


def insert(data: bytes, random: Random) -> bytes:
    """Something that means something to one of the formats, anywhere."""
    at = random.randrange(len(data) + 1)
    end = at + random.choice((0, 0, 1, 4, 20))
    return data[:at] + random.choice(TOKENS) + data[end:]


def splice(data: bytes, random: Random) -> bytes:
    """A piece of the file left out, repeated, or put elsewhere."""
    ends = sorted(random.randrange(len(data) + 1) for _ in range(2))
    piece, at = data[slice(*ends)], random.randrange(len(data) + 1)
    kind = random.randrange(3)
    if kind == 0:
        return data[: ends[0]] + data[ends[1] :]
    return data[:at] + piece * (1 if kind == 1 else random.choice((1, 2, 30))) + data[at:]


def lines(data: bytes, random: Random) -> bytes:
    """Lines left out, repeated, swapped, joined or emptied; columns, too."""
    rows = data.split(b"\n")
    at, other = random.randrange(len(rows)), random.randrange(len(rows))
    kind = random.randrange(6)
    if kind == 0:
        del rows[at]
    elif kind == 1:
        rows.insert(other, rows[at])
    elif kind == 2:
        rows[at], rows[other] = rows[other], rows[at]
    elif kind == 3:
        rows[at] = b""
    elif kind == 4:
        rows[at] = rows[at].replace(b"\t", b" ") if b"\t" in rows[at] else rows[at] + b"\t"
    else:
        columns = rows[at].split(b"\t")
        random.shuffle(columns)
        rows[at] = b"\t".join(columns)
    return b"\n".join(rows)


def encode(data: bytes, random: Random) -> bytes:
    """The text in another encoding, with other line ends, or with a byte-order mark."""
    text = data.decode("utf-8", "replace")
    kind = random.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7", "\r\n", "\r"))
    return data.replace(b"\n", kind.encode()) if kind.isspace() else text.encode(kind, "replace")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every ``(container, key)`` below ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield value, key
        yield from _places(below)


def _retyped(value: Any, random: Random) -> Any:
    """One value below replaced, renamed, left out or moved."""
    places = list(_places(value))
    if not places or random.random() < 0.03:
        return random.choice(VALUES)
    container, key = random.choice(places)
    kind = random.randrange(8)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[str(random.choice(VALUES))] = container.pop(key)
    elif kind == 2:
        container[key] = [container[key]]
    elif kind == 3:
        other, its = random.choice(places)
        container[key] = json.loads(json.dumps(other[its])) if its in other or isinstance(other, list) else None
    elif kind == 4 and isinstance(container, list):
        container += [container[key]] * random.choice((1, 30))
    else:
        container[key] = random.choice(VALUES)
    return value


def retype(data: bytes, random: Random) -> bytes:
    """A value of another type somewhere in JSON, JSON lines or YAML; other bytes are flipped."""
    try:
        try:
            return json.dumps(_retyped(json.loads(data), random)).encode()
        except ValueError:
            rows = data.split(b"\n")
            at = random.randrange(len(rows))
            if rows[at][:1] in (b"{", b"["):
                rows[at] = json.dumps(_retyped(json.loads(rows[at]), random)).encode()
                return b"\n".join(rows)
            found = yaml.safe_load(data.decode())
            if not isinstance(found, dict):
                return flip(data, random)
            return str(yaml.safe_dump(_retyped(found, random), sort_keys=False)).encode("utf-8", "surrogatepass")
    except (ValueError, IndexError, LookupError, RecursionError, yaml.YAMLError):
        return flip(data, random)


def header(data: bytes, random: Random) -> bytes:
    """Of a safetensors file the header's length, or its JSON with the length that fits."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= len(data) - 8:
        return flip(data, random)
    if random.random() < 0.3:
        length = random.choice((0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1))
        return length.to_bytes(8, "little") + data[8:]
    change = random.choice((retype, retype, insert, flip, splice))
    text = change(data[8 : 8 + size], random)[:MOST]
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


CHANGES: dict[str, Change] = {
    change.__name__: change for change in (flip, truncate, insert, splice, lines, encode, retype, header)
}


def changed(data: bytes, steps: list[tuple[str, int]]) -> bytes:
    """The bytes after these changes, each named with the seed of its stream."""
    for name, seed in steps:
        data = CHANGES[name](data, Random(seed))[:MOST]
    return data


def displace(path: Path, kind: str) -> None:
    """Put something that is no file where a file was."""
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to(path.name)
        case "device":
            path.symlink_to("/dev/zero")
        case "empty":
            path.touch()


KINDS = ("folder", "pipe", "dangling", "loop", "device", "empty", "missing")


def remove(path: Path) -> None:
    """Whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
