"""What a study really used: the datasets its nodes read, for what, with papers, licences and BibTeX.

It goes by the nodes, not by the study file: what a task reads stands in a node's spec. Weights follow from the data they
were trained on; what was only scored on changes no weight. A report and a model card say both, apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xstilts import tasks
from xstilts.errors import MissingNameError

CALIBRATES_ON = "bucc2018"


@dataclass(frozen=True)
class DataUsed:
    """One dataset.

    Args:
        name: of the task; ``text`` for plain text.
        title: as written in papers.
        trained: weights were trained on its rows.
        scored: its rows were predicted or scored, or thresholds were set on them.
        own: all its rows are the study's own, in the form of this task: a constructed world, own languages. Then paper and
            licence are those of the form, and say nothing of the rows.
        stand_ins: files that stand in for the published ones, by ``task.split``.
        licence, paper, address, bibtex: as the task declares them; empty where this process does not know the task.
    """

    name: str
    title: str
    trained: bool
    scored: bool
    own: bool = False
    stand_ins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    licence: str = "unknown"
    paper: str = ""
    address: str = ""
    bibtex: str = ""


def data_used(nodes: Iterable[Mapping[str, Any]], payload: Mapping[str, Any]) -> list[DataUsed]:
    """The datasets that ``nodes`` read: those trained on first, then by name; plain text last.

    Args:
        nodes: ``Node.as_json()`` or records of the store: of a whole study, or of one model and its ancestors.
        payload: what the store recorded of their study (``{}`` where there is none).
    """
    trained: dict[str, set[str]] = {}
    scored: dict[str, set[str]] = {}
    text: set[str] = set()
    for node in nodes:
        spec, kind = node["spec"], node["kind"]
        if kind == "pretrain":
            text.update(spec["text"])
        elif kind == "train":
            trained.setdefault(spec["task"], set()).add(spec["source"])
        elif kind == "mix":
            for name, part in spec["parts"].items():
                if "text" in part:
                    text.update(part["text"])
                else:
                    trained.setdefault(name, set()).add(spec["source"])
        elif kind in ("predict", "retrieve", "score"):
            scored.setdefault(spec["task"], set()).update(spec["languages"])
        elif kind == "calibrate" and spec["gold"]:
            scored.setdefault(CALIBRATES_ON, set()).update(spec["gold"])
    study = payload.get("study", {})
    own = set(study.get("own_languages", {}))
    names = sorted({*trained, *scored}, key=lambda name: (name not in trained, name))
    found = [_of_task(name, trained.get(name, set()), scored.get(name, set()), own, study) for name in names]
    return found + ([_of_text(text, own, payload)] if text else [])


def _of_task(name: str, trained: set[str], scored: set[str], own: set[str], study: Mapping[str, Any]) -> DataUsed:
    files = study.get("data", {}).get("files", {})
    stand_ins = {at: tuple(of) for at, of in files.items() if at.partition(".")[0] == name}
    used = DataUsed(name, name, bool(trained), bool(scored), trained | scored <= own, stand_ins)
    try:
        task = tasks.load(name)
    except MissingNameError:  # from outside the package, and no --task-file named it
        return used
    return replace(
        used,
        title=task.title,
        licence=task.licence or "unknown",
        paper=task.paper,
        address=task.address,
        bibtex=task.bibtex.strip(),
    )


def _of_text(languages: set[str], own: set[str], payload: Mapping[str, Any]) -> DataUsed:
    """Plain text: where it came from the hub, its dataset and what that dataset's card says of the licence."""
    files = [of for of in payload.get("hub", {}).get("files", ()) if of.get("lines") is not None]
    addresses = sorted({f"https://huggingface.co/datasets/{of['dataset']}" for of in files})
    licences = sorted({of["licence"] for of in files if of.get("licence")})
    return DataUsed(
        "text",
        f"plain text in {len(languages)} languages: {', '.join(sorted(languages))}",
        trained=True,
        scored=False,
        own=languages <= own,
        licence=", ".join(licences) or "unknown",
        address=", ".join(addresses),
    )


def citations(used: Iterable[DataUsed]) -> str:
    """The BibTeX of all that was used and is not the study's own, each entry once."""
    return "\n\n".join(dict.fromkeys(of.bibtex for of in used if of.bibtex and not of.own))
