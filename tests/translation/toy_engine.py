"""A translator for tests: every word backwards, line by line. ``python toy_engine.py FROM TO [--fault NAME]``.

Every line it is given is noted in the file that TOY_ENGINE_LOG names.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path


def backwards(line: str) -> str:
    """``A cat (2)`` -> ``A tac (2)``; the word ``nix`` has no translation."""
    return re.sub(r"[^\W\d_]+", lambda word: "" if word.group() == "nix" else word.group()[::-1], line)


def main() -> None:
    """Translate standard input."""
    fault = sys.argv[sys.argv.index("--fault") + 1] if "--fault" in sys.argv else ""
    lines = sys.stdin.read().removesuffix("\n").split("\n")
    if log := os.environ.get("TOY_ENGINE_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    if fault == "slow":
        time.sleep(0.3)
    if fault == "status":
        sys.exit("the dictionary is gone")
    if fault == "bytes":
        sys.stdout.buffer.write(b"\xff\n" * len(lines))
        return
    if fault == "short":
        lines.pop()
    sys.stdout.write("".join(f"{backwards(line)}\n" for line in lines))


if __name__ == "__main__":
    main()
