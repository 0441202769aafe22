"""The command line in one process that stays: ``datasets`` takes seconds to import, and some tests fetch often.

Reads a line of JSON with the arguments, answers with a line of JSON: exit status, standard output, standard error. Waits
between tries are short here.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

from xstilts import cli
from xstilts.hub import download

download.WAITS = (0.05, 0.1)

for line in sys.stdin:
    sys.argv = ["xstilts", *json.loads(line)]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    sys.stdout.write(json.dumps([status, out.getvalue(), err.getvalue()]) + "\n")
    sys.stdout.flush()
