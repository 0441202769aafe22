"""``python -m xstilts``: the command line, for an environment whose scripts are not on the path."""

from __future__ import annotations

from xstilts.cli import main

if __name__ == "__main__":
    main()
