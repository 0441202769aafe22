"""The command line: verbs only. Each parses, calls the library and prints. No torch is imported here, and each verb imports
what it needs: help comes at once.

Exit status: 0 everything asked for was done; 1 some of it failed; 2 bad input; 130 or 143 interrupted (run again to go on);
141 whoever read standard output left.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

import xstilts
from xstilts.cli import (
    bench,
    comparing,
    completion,
    data,
    exporting,
    looking,
    measuring,
    own_text,
    published,
    recommending,
    reporting,
    shapes,
    studies,
    translating,
)
from xstilts.cli.options import err, out
from xstilts.errors import XstiltsError

GREETING = """\
xstilts {version}: English intermediate tasks, zero-shot in 40 languages.

  xstilts run pocket --data pocket   new here? the whole method in minutes
  xstilts tasks                      nine target and nine intermediate tasks
  xstilts data check --data DIR      what a data folder holds and lacks
  xstilts data fetch STUDY           what a study lacks, from the hub
  xstilts plan STUDY --data DIR      what a study would compute
  xstilts run STUDY --data DIR       compute it; run again to go on
  xstilts results                    tables; --json - for one row per number
  xstilts compare arms STUDY         against the baseline, with intervals
  xstilts compare published          beside the papers' numbers: why not equal?
  xstilts claims                     nineteen claims: which hold, which are open
  xstilts recommend TARGET           which intermediate task first
  xstilts bench MODEL --target T     what its answers cost, by language
  xstilts impact                     speed beside score; choose takes one
  xstilts report -o report.html      one page with all of it, to read and to send
  xstilts score --predictions DIR --gold DIR    an XTREME submission, officially
  xstilts predict MODEL FILE         your own text; embed gives vectors
  xstilts export MODEL --to DIR      a folder that others load, with its card
  xstilts translate TASK --to LL     training rows in another language

  xstilts VERB --help                more about one of them

Next: {next_step}"""

EPILOG = (
    "Exit status: 0 all that was asked for was done; 1 some of it failed; 2 bad input; 130, 143 interrupted: the same "
    "command goes on; 141 the reader of the output left."
)

app = typer.Typer(
    add_completion=False, epilog=EPILOG, no_args_is_help=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
for verb in (
    studies.plan,
    studies.run,
    studies.status,
    studies.why,
    studies.results,
    reporting.report,
    published.claims,
    recommending.recommend,
    bench.bench,
    measuring.impact,
    measuring.choose,
    looking.tasks,
    looking.models,
    shapes.shapes,
    looking.score,
    own_text.predict,
    own_text.embed,
    exporting.export,
    translating.translate,
    studies.clean,
    completion.completion,
):
    app.command()(verb)
app.add_typer(data.app, name="data")
app.add_typer(comparing.app, name="compare")


@app.callback(invoke_without_command=True)
def greet(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Which English intermediate task, on which model, buys how much zero-shot quality in 40 languages?"""
    if version:
        out.print(f"xstilts {xstilts.__version__}")
    elif context.invoked_subcommand is None:
        out.print(GREETING.format(version=xstilts.__version__, next_step=_next_step()), markup=False)


def _next_step() -> str:
    """What to type now: to begin, or to see what the store here holds."""
    store = Path(os.environ.get("XSTILTS_STORE") or "store")
    studies = sorted(path.stem for path in (store / "studies").glob("*.json"))
    if not studies:
        return "xstilts run pocket --data pocket"
    at = "" if str(store) == "store" else f" --store {store}"
    more = f" (one of {len(studies)} studies)" if len(studies) > 1 else ""
    return f"xstilts results {studies[0]}{at}{more}"


def main() -> None:
    """Run the command line; what users can mend ends in one clear message and exit status 2."""
    completion.answer_shells()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, TextIOWrapper
        ):  # tables, names and JSON are UTF-8, as files are, whatever the locale says
            stream.reconfigure(encoding="utf-8", errors=stream.errors)
    try:
        # Without standalone mode click returns the status of an Exit instead of raising it.
        ended = app(prog_name="xstilts", complete_var=completion.VARIABLE, standalone_mode=False)
        sys.stdout.flush()  # a reader that left is met here, not when Python ends
        sys.exit(ended if isinstance(ended, int) else 0)
    except XstiltsError as error:
        err.print(f"error: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except (BrokenPipeError, SystemExit) as stop:
        # Typer and rich meet a reader that left as exit status 1, which says that something failed.
        if not any(isinstance(each, BrokenPipeError) for each in (stop, stop.__context__)):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if type(error).__module__.startswith(("typer", "click")) and hasattr(error, "format_message"):
            said = error.format_message()  # of a group of verbs without one: its help
            said = said if said.startswith("Usage:") else f"error: {said.replace('Value error, ', '')}"
            err.print(said, markup=False, soft_wrap=True)
            sys.exit(2)
        raise
