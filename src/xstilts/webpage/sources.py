"""The data sets, benchmark and papers that a study really used, with licences and BibTeX."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from xstilts.tasks import load, names
from xstilts.webpage.content import Source

_METHOD = (
    Source(
        "Phang et al. 2020",
        "the method: intermediate training in English",
        "",
        "https://arxiv.org/abs/2005.13013",
        """@inproceedings{phang-2020-english,
  title = {English Intermediate-Task Training Improves Zero-Shot Cross-Lingual Transfer Too},
  author = {Phang, Jason and Calixto, Iacer and Htut, Phu Mon and Pruksachatkun, Yada and Liu, Haokun and Vania, Clara
            and Kann, Katharina and Bowman, Samuel R.},
  booktitle = {Proceedings of AACL-IJCNLP},
  year = {2020}
}""",
    ),
    Source(
        "XTREME",
        "the target tasks, their languages and official scores",
        "",
        "https://arxiv.org/abs/2003.11080",
        """@inproceedings{hu-2020-xtreme,
  title = {{XTREME}: A Massively Multilingual Multi-task Benchmark for Evaluating Cross-lingual Generalization},
  author = {Hu, Junjie and Ruder, Sebastian and Siddhant, Aditya and Neubig, Graham and Firat, Orhan and Johnson, Melvin},
  booktitle = {Proceedings of ICML},
  year = {2020}
}""",
    ),
)


def sources(payloads: Iterable[Mapping[str, Any]]) -> tuple[Source, ...]:
    """Every data set that a node of these studies reads, with what for; then the papers of the method."""
    used: dict[str, dict[str, None]] = {}
    for payload in payloads:
        for node in payload["nodes"]:
            for name, what in _uses(node):
                used.setdefault(name, {})[what] = None
    known = set(names())
    found = []
    for name, whats in used.items():
        what = ", ".join(whats)
        if name in known:
            task = load(name)
            found.append(Source(task.title, f"{name}: {what}", task.licence, task.address, task.bibtex or task.paper))
        else:
            found.append(Source(name, what, "not known here: a task from outside the package", "", ""))
    return (*sorted(found, key=lambda source: source.name.lower()), *_METHOD)


def source_notes(payloads: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What those licences do not say: rows from elsewhere, models."""
    for payload in payloads:
        study = payload["study"]
        own = study.get("own_languages", {})
        scored = {
            code for node in payload["nodes"] if node["kind"] == "score" for code in node["spec"].get("languages", ())
        }
        if scored and scored <= own.keys():
            yield (
                f"{study['name']}: every language scored is the study's own, so its rows are not those of the data sets "
                "named here; they have their formats and their rules of scoring."
            )
        for split, files in study["data"]["files"].items():
            yield f"{study['name']}: rows of {split} come from {', '.join(files)}; their licence is that of these files."
        for name, model in study["models"].items():
            if not model.get("pretrain"):
                where = model.get("id") or "a folder"
                yield f"{study['name']}: the model {name} comes from {where}; its licence is said in its own model card."


def _uses(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    spec, role = node["spec"], node["labels"].get("role")
    if node["kind"] == "train":
        yield spec["task"], "fine-tuning" if role == "target" else "intermediate training"
    elif node["kind"] == "mix":
        yield from ((of["task"], "intermediate training") for of in spec["parts"].values() if "task" in of)
    elif node["kind"] in ("predict", "retrieve"):
        yield spec["task"], f"{spec['split']} scores" if "split" in spec else "scores"
