"""What the verbs print for people: one function a verb, fed with the same plain data that ``--json`` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from xstilts.report.grid import Grid, grid_markdown, print_grid, without
from xstilts.report.random_weights import random_notes
from xstilts.report.table import Table, markdown, print_table


def show_plan(summary: Mapping[str, Any], out: Console) -> None:
    """Nodes by kind, languages by target, what was left out."""
    out.print(
        f"[bold]{summary['study']}[/bold]: {summary['nodes']} nodes, {summary['done']} done; {summary['precision']}"
    )
    kinds = (
        (kind, str(sum(states.values())), ", ".join(f"{n} {s}" for s, n in states.items()))
        for kind, states in summary["kinds"].items()
    )
    print_grid(Grid("", ("kind", "nodes", "state"), tuple(kinds), words=frozenset({"state"})), out)
    languages = (
        (target, split, f"{len(found)}: {' '.join(found)}")
        for target, splits in summary["languages"].items()
        for split, found in splits.items()
    )
    columns = ("target", "split", "languages")
    print_grid(Grid("", columns, tuple(languages), words=frozenset(columns)), out)
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for item in summary["left_out"]:
        reasons.setdefault((item["target"], item["split"], item["reason"]), []).append(item["language"])
    if reasons:
        out.print("Left out:")
        for (target, split, reason), found in reasons.items():
            out.print(f"  {target} {split}: {reason} for {' '.join(found)}")
    if summary["layer_chosen_on"] and "bucc2018" not in summary["languages"]:
        out.print(
            f"Retrieval: the layer is chosen on the dev pairs of bucc2018 ({' '.join(summary['layer_chosen_on'])}), which "
            "are embedded, too. retrieval: {layer_from: fixed} needs none.",
            markup=False,
        )
    said = [f"{key} come from {', '.join(names)}" for key, names in summary["stand_ins"].items()]
    said += [f"{key} are {how}" for key, how in summary["translated"].items()]
    if said:
        out.print("Rows:")
    for each in said:
        out.print(f"  of {escape(each)}")
    for note in summary["hub"]:
        out.print(f"  {escape(note)}")
    for note in random_notes(summary):
        out.print(f"\n{escape(note)}")
    if summary["retries"]["collapsed"] or summary["retries"]["float32"]:
        _show_retries(summary["retries"], out)


def _show_retries(declared: Mapping[str, Any], out: Console) -> None:
    """What of a plan may still grow, and what of it has."""
    most = declared["collapsed"]
    said = ["\nRetries:"]
    if most:
        times = f"{most} time{'s' * (most > 1)}"
        said.append(f"a fine-tuning that collapses is begun anew with another seed, at most {times}.")
    if declared["float32"]:
        said.append("A training whose loss is no number is done again in float32.")
    out.print(" ".join([*said, f"Begun anew so far: {len(declared['begun'])}."]))
    for title in declared["begun"]:
        out.print(f"  {escape(title)}")
    if declared["unjudged"]:
        out.print(f"  A collapse cannot be told for {escape(', '.join(declared['unjudged']))}.")


def show_shapes(shapes: Sequence[Mapping[str, Any]], out: Console) -> None:
    """Named shapes and what they weigh."""
    sizes = ("hidden_size", "inner_size", "heads", "vocabulary", "parameters", "encoder_parameters")
    rows = [
        (
            of["shape"],
            f"{of['layers']} + {of['decoder_layers']}" if of["decoder_layers"] else str(of["layers"]),
            *(f"{of[name]:,}" for name in sizes),
            f"{of['gib_fp32']:.2f}",
            f"{of['gib_bf16']:.2f}",
        )
        for of in shapes
    ]
    numbers = (
        "layers",
        "hidden",
        "inner",
        "heads",
        "vocabulary",
        "parameters",
        "of the encoder",
        "GiB fp32",
        "GiB bf16",
    )
    notes = (
        "aya-101 and mT0-XXL have the shape of mt5-xxl.",
        "A model of one: xstilts shapes NAME --random-weights FOLDER",
    )
    print_grid(Grid("", ("shape", *numbers), tuple(rows), notes), out)


def show_tables(tables: Sequence[Table], out: Console, *, as_markdown: bool = False) -> None:
    """The zero-shot tables."""
    if not tables:
        out.print("no scores yet: xstilts status says what is missing")
    for table in tables:
        if as_markdown:
            out.out(markdown(table), highlight=False)
        else:
            print_table(table, out)


def show_grids(grids: Sequence[Grid], out: Console, *, as_markdown: bool = False) -> None:
    """Tables of text; of a study without retrieval there is nothing to show."""
    if not grids:
        out.print("no retrieval was scored at more than one layer")
    for grid in grids:
        if as_markdown:
            out.out(grid_markdown(grid), highlight=False)
        else:
            print_grid(grid, out)


def show_run(summary: Mapping[str, Any], store: str, out: Console) -> None:
    """How a run ended, where the files lie and what to do next."""
    others = f", {summary['elsewhere']} meanwhile in other runs" if summary["elsewhere"] else ""
    out.print(
        f"{summary['study']}: {summary['found']} nodes were done before, {summary['ran']} in this run{others} "
        f"({summary['seconds']:.0f} s). Store: {store}"
    )
    for failure in summary["failed"]:
        out.print(f"[red]failed[/red] {escape(failure['title'])}: {escape(failure['message'])}")
        out.print(f"  xstilts why {failure['key'][:12]} --store {store}")
    if summary["blocked"]:
        out.print(f"{summary['blocked']} nodes wait for a failed one; mend it and run the same command again")
    if summary["left"]:
        measured = summary["left_measurements"]
        where = f"; {measured} of them measure: without --on, on the machine that is measured" if measured else ""
        out.print(f"{summary['left']} nodes are left: run the same command again{where}")
    if not summary["failed"]:
        at, study = "" if store == "store" else f" --store {store}", summary["study"]
        out.print("Next:", markup=False)
        for verb, what in (
            (f"results {study}{at} --json -", "one row per number (--markdown: the tables)"),
            (f"why KEY{at}", "all that the number with this key depends on"),
            (f"predict KEY FILE{at}", "your own text through the model behind it"),
        ):
            out.print(f"  xstilts {verb:32} {what}", markup=False, soft_wrap=True)


def show_why(found: Mapping[str, Any], out: Console) -> None:
    """A node's ancestry as JSON: it is read by people who search in it."""
    out.print_json(data=found)


def show_tasks(described: Sequence[Mapping[str, Any]], out: Console) -> None:
    """One line a task."""
    for role, title in (("target", "Target tasks"), ("intermediate", "Intermediate tasks")):
        rows = (
            (
                task["name"],
                task["type"].replace("_", " "),
                str(len(task["languages"])),
                " + ".join(task["main_score"]).replace("_", " "),
                task["trains_on"] or "nothing",
                task["licence"],
            )
            for task in described
            if task["role"] == role
        )
        columns = ("name", "shape", "languages", "score", "trained on", "licence")
        grid = Grid(title, columns, tuple(rows), words=frozenset(columns) - {"languages"})
        print_grid(grid if role == "target" else without(grid, "languages", "trained on"), out)
    out.print("xstilts tasks --json - gives files, counts, papers, and every default with how sure we are of it.")


def show_models(described: Mapping[str, Any], out: Console) -> None:
    """The folders asked for; if none was, the families."""
    for model in described["models"]:
        out.print(
            f"{model['folder']}: {model['family']}, {model['num_layers']} layers, {model['execution']}, "
            f"identity {model['identity'][:12]}"
        )
        if model["exports"]:
            out.print(Padding(f"exports to {', '.join(model['exports'])}", (0, 0, 0, 2)))
    if not described["models"]:
        families = ((of["family"], of["execution"], ", ".join(of["exports"])) for of in described["families"])
        columns = ("family", "execution", "exports to")
        print_grid(Grid("", columns, tuple(families), words=frozenset(columns)), out)
        out.print("Every other AutoModel runs sorted by length and padded; plan and results say so.")


def show_scores(scores: Mapping[str, Any], out: Console) -> None:
    """Official scores of a submission."""
    rows = []
    for name, task in scores["tasks"].items():
        metrics = task["metrics"]
        shown = ", ".join(f"{m} {_number(v['average'])}" for m, v in metrics.items())
        count = len(next(iter(metrics.values()))["languages"]) if metrics else 0
        rows.append((name, _number(task["score"]), shown, str(count), " ".join(task["missing"])))
    columns = ("task", "score", "metrics", "languages", "missing")
    print_grid(Grid("", columns, tuple(rows), words=frozenset({"metrics", "missing"})), out)
    groups = ", ".join(f"{name} {_number(value)}" for name, value in scores["groups"].items())
    out.print(f"{groups}\noverall {_number(scores['overall'])}")


def show_clean(report: Sequence[Mapping[str, Any]], removed: bool, out: Console) -> None:
    """What was or would be removed."""
    for item in report:
        out.print("  ".join(str(value) for value in item.values()), markup=False)
    if not report:
        out.print("nothing to remove")
    elif not removed:
        out.print("nothing was removed; add --yes to remove it")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
