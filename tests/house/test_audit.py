"""The audit of dependencies fails for a vulnerability, and never looks done when it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {
    "name": "bad",
    "version": "2",
    "vulns": [{"id": "CVE-1", "fix_versions": ["3"], "aliases": [], "description": ""}],
}
UNKNOWN = {"name": "own", "skip_reason": "Dependency not found on PyPI and could not be audited: own (1)"}


def audited(answer: str, status: int = 0) -> tuple[int, str]:
    """Exit status and output where pip-audit says this."""
    stand_in = f"import sys; sys.stdout.write({answer!r}); sys.stderr.write('no network'); sys.exit({status})"
    code = f"import runpy, sys; main = runpy.run_path({str(AUDIT)!r})['main']; "
    code += f"sys.exit(main((sys.executable, '-c', {stand_in!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


def found(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


@pytest.mark.parametrize(
    ("answer", "status", "ends", "says"),
    [
        (found(GOOD), 0, 0, "audit: 0 of 1 packages have known vulnerabilities\n"),
        (
            found(GOOD, BAD),
            1,
            1,
            "audit: bad 2: CVE-1; mended in 3\naudit: 1 of 2 packages have known vulnerabilities\n",
        ),
        (found(UNKNOWN), 0, 0, "audit: NOT DONE, the database knows nothing of own\n"),
        (found(GOOD, UNKNOWN), 0, 0, "audit: NOT DONE for all, the database knows nothing of own\naudit: 0 of 1 "),
        ("", 1, 0, "audit: NOT DONE, the database of vulnerabilities could not be asked: no network\n"),
        ("{}", 1, 0, "could not be asked: no network\n"),
    ],
)
def test_an_audit_says_what_it_did(answer: str, status: int, ends: int, says: str) -> None:
    code, printed = audited(answer, status)
    assert code == ends and says in printed
