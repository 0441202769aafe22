"""The ledger for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from xstilts.claims.claim import Claim, Evidence, Finding
from xstilts.report.grid import Grid, grid_markdown

Ledger = Sequence[tuple[Claim, Finding]]


def grid(ledger: Ledger) -> Grid:
    """One row a claim."""
    verdicts = Counter(finding.verdict for _, finding in ledger)
    counted = ", ".join(f"{verdict}: {count}" for verdict, count in verdicts.items())
    rows = tuple((c.id, c.text, c.kind, f.verdict, f.evidence) for c, f in ledger)
    columns = ("id", "claim", "checked by", "verdict", "what was seen")
    note = "config: read in our recipe and tasks, so it says what this project runs; the paper's own runs are not to be seen."
    return Grid(f"The claims ledger ({counted})", columns, rows, (note,), frozenset(columns[1:]))


def settling_grid(ledger: Ledger) -> Grid:
    """What would settle what is not."""
    rows = tuple((c.id, f.settles) for c, f in ledger if f.settles)
    note = "Device-hours are rough: the assumptions stand in the documentation of xstilts.claims.cost."
    return Grid("What would settle them", ("id", "command and cost"), rows, (note,), frozenset({"command and cost"}))


def markdown(ledger: Ledger, evidence: Evidence) -> str:
    """The ledger as a page."""
    looked_at = [study.name for study in evidence.studies]
    lines = [
        "# The claims ledger",
        "",
        "Nineteen claims of this project's founding document about Phang et al. 2020, each bound to a check. Made by "
        "`xstilts claims`; not edited by hand.",
        "",
        f"Looked at: the shipped recipes; {'a data folder' if evidence.data else 'no data folder'}; "
        f"{'results of ' + ', '.join(looked_at) if looked_at else 'no results'}.",
        "",
        "A verdict is one of three. *holds* and *contradicted* are said only of what the claim is about. *not measured here* "
        "comes with what would settle it; what smaller studies show stands in the note. Marks: see "
        "[published numbers](published.md).",
        "",
        grid_markdown(grid(ledger), level=2),
        grid_markdown(settling_grid(ledger), level=2),
        "## Each claim",
        "",
    ]
    for claim, finding in ledger:
        verified, confidence = claim.marked
        lines += [
            f"### {claim.id}: {claim.text}",
            "",
            f"- Founding mark: {'verified' if verified else 'not verified'}, confidence {confidence:.2f}. "
            f"Checked by: {claim.kind}.",
            f"- Read as: {claim.reading}.",
            f"- **{finding.verdict}**: {finding.evidence}.",
            *([f"- Settles it: {finding.settles}"] if finding.settles else []),
            *([f"- Note: {finding.note}"] if finding.note else []),
            "",
        ]
    return "\n".join(lines)


def as_json(ledger: Ledger) -> list[dict[str, Any]]:
    """One object a claim."""
    return [
        {
            "id": claim.id,
            "claim": claim.text,
            "founding_mark": {"verified": claim.marked[0], "confidence": claim.marked[1]},
            "kind": claim.kind,
            "read_as": claim.reading,
            "verdict": finding.verdict,
            "evidence": finding.evidence,
            "settles": finding.settles,
            "note": finding.note,
        }
        for claim, finding in ledger
    ]
