"""Every reader of outside bytes on mutated files: ``python -m benchmarks.fuzz --minutes 10``.

Valid small files are changed (bytes flipped, cut, spliced; values of another type; other encodings; pipes and folders in
the place of files) and read. Only errors of ours may come out, within seconds and in bounded memory, and each says where.
Anything else is printed with what makes the input again: ``--only READER --again SEED`` does so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "fuzz")]
MEMORY = 6 * 2**30
"""Bytes of address space a reader may take beyond what the process has: torch alone maps several GB."""


@dataclass
class Tally:
    """What came of a reader's inputs."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    others: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def try_for(reader: Any, seconds: float, seed: int, most: int | None = None) -> Iterator[tuple[int, str, str]]:
    """``(seed of the input, verdict, what else came out)`` of one reader's inputs for so many seconds."""
    from trying import attempt, draw, write

    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        folder = Path(home) / "read"
        folder.mkdir()
        write(reader, folder)
        number = seed
        while time.monotonic() < until and (most is None or number < seed + most):
            try:
                verdict, said = attempt(reader, folder, draw(reader, Random(number)))
                yield number, verdict, said
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                yield number, "other", _short(error)
            number += 1


def _short(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in last if "xstilts" in frame.filename] or last[-1:]
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{at} {type(error).__name__}: {str(error)[:160]!r}"


def _work(name: str, seconds: float, seed: int, send: Any) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    (reader,) = (r for r in all_readers() if r.name == name)
    begun = time.monotonic()
    for found in try_for(reader, seconds, seed):
        send.send(found)
    send.send((-1, "end", str(time.monotonic() - begun)))


def all_readers() -> list[Any]:
    """Every reader; some load torch."""
    import data_readers
    import model_readers
    import record_readers

    return [*data_readers.readers(), *record_readers.readers(), *model_readers.readers()]


def fuzz(reader: Any, seconds: float, seed: int) -> Tally:
    """One reader in a process of its own, begun anew after an input that kills it."""
    tally, left, begun = Tally(), seconds, time.monotonic()
    while left > 0:
        receive, send = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=_work, args=(reader.name, left, seed, send))
        child.start()
        send.close()
        ended, last = False, seed
        try:
            while True:
                number, verdict, said = receive.recv()
                if verdict == "end":
                    ended = True
                    break
                last = number + 1
                _count(tally, reader.name, number, verdict, said)
        except EOFError:
            pass
        child.join()
        if ended:
            break
        _count(tally, reader.name, last, "other", f"the process died with {child.exitcode}")
        seed, left = last + 1, seconds - (time.monotonic() - begun)
    tally.seconds = time.monotonic() - begun
    return tally


def _count(tally: Tally, name: str, number: int, verdict: str, said: str) -> None:
    tally.tried += 1
    if verdict == "refused":
        tally.refused += 1
    elif verdict == "accepted":
        tally.accepted += 1
    else:
        kind = said.partition(": ")[0]
        tally.others[kind] += 1
        if tally.others[kind] == 1:
            print(f"! {name}, input {number}: {said}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every reader, print the table; 1 if anything but our errors came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for all readers together, each by its weight")
    parser.add_argument("--seed", type=int, default=0, help="of the first input of every reader")
    parser.add_argument("--only", default="", help="readers whose names begin so")
    parser.add_argument("--again", type=int, help="one input, its error with the traceback")
    chosen = parser.parse_args(arguments)
    readers = [r for r in all_readers() if r.name.startswith(chosen.only)]
    if chosen.again is not None:
        from trying import attempt, draw, write

        with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
            write(readers[0], Path(home))
            made = draw(readers[0], Random(chosen.again))
            print(made)
            print(attempt(readers[0], Path(home), made))
        return 0
    share = 60 * chosen.minutes / sum(r.weight for r in readers)
    total = Tally()
    print(f"{'reader':40} {'inputs':>9} {'our errors':>11} {'accepted':>9} {'others':>7} {'s':>5}")
    for reader in readers:
        _check_valid(reader)
        found = fuzz(reader, share * reader.weight, chosen.seed)
        _row(reader.name, found)
        total = Tally(
            total.tried + found.tried,
            total.refused + found.refused,
            total.accepted + found.accepted,
            total.others + found.others,
            total.seconds + found.seconds,
        )
    _row(f"all {len(readers)}", total)
    return int(bool(total.others))


def _check_valid(reader: Any) -> None:
    """The reader takes its own files as they are, or nothing is shown by what it refuses."""
    from trying import write

    with tempfile.TemporaryDirectory(prefix="fuzz-") as home:
        write(reader, Path(home))
        reader.read(Path(home))


def _row(name: str, found: Tally) -> None:
    numbers = f"{found.tried:9,} {found.refused:11,} {found.accepted:9,} {found.others.total():7,}"
    print(f"{name:40} {numbers} {found.seconds:5.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
