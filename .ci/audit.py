"""Known vulnerabilities of the installed packages, by pip-audit; what could not be asked is named, never passed over.

Exit status 1 for a known vulnerability only: without a network, or with a registry that has no such database, a check must
not fail, and it must not look as if it had been done.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

COMMAND = ("-m", "pip_audit", "--skip-editable", "--format=json", "--progress-spinner=off", "--timeout=5")
LONGEST = 180
"""Seconds for all packages."""


def ask(command: Sequence[str]) -> tuple[Mapping[str, Any] | None, str]:
    """What pip-audit found, or ``None`` and why there is nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    try:
        found = json.loads(done.stdout)
        found["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = done.stderr.strip().splitlines()
        return None, said[-1] if said else f"pip-audit ended with status {done.returncode}"
    return found, ""


def main(command: Sequence[str] = (sys.executable, *COMMAND)) -> int:
    """Ask, print, and give the exit status."""
    found, why = ask(command)
    if found is None:
        print(f"audit: NOT DONE, the database of vulnerabilities could not be asked: {why}")
        return 0
    packages = found["dependencies"]
    vulnerable = [of for of in packages if of.get("vulns")]
    skipped = [of["name"] for of in packages if "skip_reason" in of]
    for of in vulnerable:
        for each in of["vulns"]:
            fixed = ", ".join(each.get("fix_versions") or ()) or "no release"
            print(f"audit: {of['name']} {of['version']}: {each['id']}; mended in {fixed}")
    asked = len(packages) - len(skipped)
    if skipped:
        which = ", ".join(skipped) if len(skipped) <= 10 else f"{', '.join(skipped[:10])} and {len(skipped) - 10} more"
        done = "NOT DONE" if not asked else "NOT DONE for all"
        print(f"audit: {done}, the database knows nothing of {which}")
    if asked:
        print(f"audit: {len(vulnerable)} of {asked} packages have known vulnerabilities")
    return int(bool(vulnerable))


if __name__ == "__main__":
    sys.exit(main())
