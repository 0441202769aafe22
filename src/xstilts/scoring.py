"""Right of the seam: predictions files in, calibrations and official scores out. Pure functions of files, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from xstilts.calibration import best_threshold, choose_layer, kept_pairs
from xstilts.chance import chance, verdict
from xstilts.data.files import json_lines
from xstilts.errors import DataError, GoldError, PredictionError
from xstilts.graph.node import Node, Resources
from xstilts.metrics import xtreme
from xstilts.metrics.additive import Additive
from xstilts.metrics.kept import write_contributions
from xstilts.metrics.text_f1 import text_f1_metric
from xstilts.rows import choose_rows, open_rows
from xstilts.task_types.cast import FLAWS, words_of
from xstilts.task_types.tagging_casts import entities
from xstilts.tasks import load
from xstilts.tasks.task import Task

ScoreRow = dict[str, Any]
STATUSES = {
    "ok": "scored",
    "chance": "scored, but not better than guessing the most frequent answer",
    "collapsed": "scored, but the model gives one constant answer",
    "no_gold": "predicted; there is no gold here to score against",
    "no_threshold": "mined; there are no dev pairs of this language to set the threshold on",
    "waiting": "not run yet",
    "running": "being computed",
    "failed": "its node failed: xstilts why KEY",
    "blocked": "a node it needs failed",
}


class Scored(NamedTuple):
    """One language at one layer and pooling."""

    layer: int
    pooling: str
    scores: Mapping[str, float]
    rows: int
    status: str


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines: the predictions file of one language."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a predictions file, which may have none; a damaged line is named."""
    try:
        return [row for _, row in json_lines(path)] if not path.is_file() or path.stat().st_size else []
    except DataError as error:
        raise PredictionError(error.what, where=error.where) from error


def calibrate(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources) -> dict[str, Any]:
    """The retrieval layer and the BUCC thresholds, from BUCC dev gold only (DESIGN 9); writes ``calibration.json``."""
    spec, task = node.spec, load("bucc2018")
    thresholds: dict[str, dict[str, float]] = {}
    dev_f1: dict[str, dict[tuple[int, str], float]] = {}
    curve: list[dict[str, Any]] = []
    for language, entry in spec["gold"].items():
        gold = _only_gold(task, open_rows(task, entry, language, resources), language)
        if gold is None:
            continue
        thresholds[language], dev_f1[language] = {}, {}
        for row in read_rows(parents["bucc_dev"] / "outputs" / f"{language}.jsonl"):
            threshold, f1 = best_threshold(_mined(row), gold)
            dev_f1[language][row["layer"], row["pooling"]] = f1
            thresholds[language][place(row["layer"], row["pooling"])] = threshold
            curve.append({"language": language, "layer": row["layer"], "pooling": row["pooling"], "f1": f1})
    declared = spec.get("layer_from") == "fixed"
    choice = choose_layer(dev_f1, spec["pooling"], fixed_layer=spec["fixed_layer"], declared=declared)
    found = {
        "layer": choice.layer,
        "pooling": choice.pooling,
        "rule": choice.rule,
        "fixed_layer": spec["fixed_layer"],
        "thresholds": thresholds,
        "curve": curve,
    }
    (out / "calibration.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return {"layer": choice.layer, "languages": len(thresholds)}


def folded(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of a retrieval sweep, one for each layer and pooling: ``neighbours`` with ``scores``, or mined ``pairs``."""
    for (layer, pooling), group in groupby(rows, key=lambda r: (r["layer"], r["pooling"])):
        found = list(group)
        if "neighbour" in found[0]:
            answers = {"neighbours": [r["neighbour"] for r in found], "scores": [round(r["score"], 6) for r in found]}
        else:
            answers = {"pairs": [[r["source"], r["target"], r["margin"]] for r in found]}
        yield {"layer": layer, "pooling": pooling, **answers}


def _mined(output: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return ({"source": s, "target": t, "margin": m} for s, t, m in output["pairs"])


def place(layer: int, pooling: str) -> str:
    """One layer and pooling as text: ``8 mean``."""
    return f"{layer} {pooling}"


def score(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources) -> dict[str, Any]:
    """Official scores of every language.

    Writes ``scores.json`` (rows), ``chance.json`` (language -> what guessing scores), ``rows/LANGUAGE.npz`` (what each row
    gives to the score, for retrieval at the layer of the rule: see ``metrics.additive``) and, for a whole test split, the
    submission files.
    """
    spec = node.spec
    task = load(spec["task"])
    calibration = None
    if "calibration" in parents:
        calibration = json.loads((parents["calibration"] / "calibration.json").read_text(encoding="utf-8"))
    rows: list[ScoreRow] = []
    guessed: dict[str, float] = {}
    swept: dict[str, list[Scored]] = {}
    for language, entry in spec["languages"].items():
        examples = choose_rows(open_rows(task, entry, language, resources), spec["rows"])
        outputs = read_rows(parents["predictions"] / "outputs" / f"{language}.jsonl")
        if all(task.type.gold(e) is not None for e in examples):
            guessed[language] = chance(task, examples, language)
        if calibration is None:
            rows += _score_examples(task, language, examples, outputs, out)
        else:
            without, swept[language] = _score_retrieval(task, language, examples, outputs, calibration, out)
            rows += without
        if spec["split"] == "test" and spec["rows"] is None:
            _write_submission(task, language, examples, outputs, calibration, out / "submission")
    if calibration is not None:
        rows += _retrieval_rows(task, spec["split"], swept, calibration)
    (out / "scores.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    (out / "chance.json").write_text(json.dumps(guessed, indent=1), encoding="utf-8")
    return {"rows": len(rows)}


def _score_examples(
    task: Task, language: str, examples: Sequence[Any], outputs: Sequence[dict[str, Any]], out: Path
) -> list[ScoreRow]:
    if len(examples) != len(outputs):
        raise PredictionError(f"{len(outputs)} predictions for {len(examples)} examples of {task.name} {language}")
    golds = [task.type.gold(e) for e in examples]
    missing = sum(g is None for g in golds)
    if missing:
        return [_without_gold(task, language, missing)]
    answers = [task.type.answer(o) for o in outputs]
    scores = _scores(task, golds, answers, language, out)
    status = verdict(task, golds, answers, scores)
    scores = {**scores, **_of_texts(examples, outputs, language)}
    return [_row(task, language, name, value, len(golds), status=status) for name, value in scores.items()]


def _of_texts(examples: Sequence[Any], outputs: Sequence[Mapping[str, Any]], language: str) -> dict[str, float]:
    """Beside the scores of a text-to-text model: the share of rows with each flaw, and F1 of entities as texts."""
    if not outputs or "flaws" not in outputs[0]:
        return {}
    found = {flaw: 100 * sum(flaw in o["flaws"] for o in outputs) / len(outputs) for flaw in FLAWS}
    if "entities" in outputs[0]:
        golds = [[(kind, words_of(text)) for kind, text in entities(e.words, e.tags)] for e in examples]
        found |= text_f1_metric(golds, [[tuple(e) for e in o["entities"]] for o in outputs], language)
    return found


def _score_retrieval(
    task: Task,
    language: str,
    examples: Sequence[Any],
    outputs: Sequence[dict[str, Any]],
    calibration: Mapping[str, Any],
    out: Path,
) -> tuple[list[ScoreRow], list[Scored]]:
    """The row that says why there is no score, if so; the scores at every layer and pooling swept."""
    gold = _only_gold(task, examples, language)
    if gold is None:
        return [_without_gold(task, language, 1)], []
    found = []
    for output in outputs:
        answers = _retrieved(task, language, output, calibration)
        if answers is not None:
            chosen = (output["layer"], output["pooling"]) == (calibration["layer"], calibration["pooling"])
            scores = _scores(task, gold, answers, language, out if chosen else None)
            status = verdict(task, gold, None, scores)
            found.append(Scored(output["layer"], output["pooling"], scores, len(gold), status))
    return [] if found else [_row(task, language, None, None, len(gold), status="no_threshold")], found


def _scores(task: Task, golds: Any, answers: Any, language: str, out: Path | None) -> Mapping[str, float]:
    """The official scores; what each row gives to them is kept under ``out``.

    A task from outside may score in a way that is no sum over rows: then nothing is kept.
    """
    if out is None or not isinstance(task.metric, Additive):
        return task.metric(golds, answers, language)
    found = task.metric.contributions(golds, answers, language)
    write_contributions(out / "rows" / f"{language}.npz", found)
    return task.metric.scores(found.sums())


def _retrieval_rows(
    task: Task, split: str, swept: Mapping[str, Sequence[Scored]], calibration: Mapping[str, Any]
) -> list[ScoreRow]:
    """Rows of the curve and of each way of choosing one layer and pooling for all languages."""
    best = _best_place(swept, task.main_score[0])
    rows = []
    for language, found in swept.items():
        for at in found:
            names = ["curve"]
            if (at.layer, at.pooling) == (calibration["layer"], calibration["pooling"]):
                names.append("threshold_from_same_dev" if split == "dev" else "rule")
            if (at.layer, at.pooling) == (calibration["fixed_layer"], calibration["pooling"]):
                names.append("fixed_layer")
            if (at.layer, at.pooling) == best:
                names.append(f"best_on_{split}")
            for selection in names:
                for name, value in at.scores.items():
                    if selection == "curve" and name != task.main_score[0]:
                        continue
                    rows.append(
                        _row(task, language, name, value, at.rows, status=at.status)
                        | {"layer": at.layer, "pooling": at.pooling, "selection": selection}
                    )
    return rows


def _best_place(swept: Mapping[str, Sequence[Scored]], main: str) -> tuple[int, str] | None:
    """The layer and pooling with the best mean over the languages scored; ``None`` if there is no choice.

    Only places where every one of them has a score can be compared. Among equal ones the lowest layer.
    """
    values = [{(at.layer, at.pooling): at.scores[main] for at in found} for found in swept.values() if found]
    common = [place for place in values[0] if all(place in other for other in values)] if values else []
    if len(common) < 2:
        return None
    return max(common, key=lambda place: (xtreme.mean(scores[place] for scores in values), -place[0]))


def _retrieved(
    task: Task, language: str, output: Mapping[str, Any], calibration: Mapping[str, Any]
) -> list[Any] | None:
    if "neighbours" in output:
        return list(output["neighbours"])
    threshold = calibration["thresholds"].get(language, {}).get(place(output["layer"], output["pooling"]))
    return None if threshold is None else list(kept_pairs(_mined(output), threshold))


def _only_gold(task: Task, examples: Sequence[Any], language: str) -> Any:
    if len(examples) != 1:
        raise GoldError(f"{task.name} {language} should be one bitext, not {len(examples)}")
    return task.type.gold(examples[0])


def _without_gold(task: Task, language: str, missing: int) -> ScoreRow:
    """A language is scored whole or not at all; ``count`` and ``missing_gold`` say how many examples have no gold."""
    return _row(task, language, None, None, missing, status="no_gold") | {"missing_gold": missing}


def _row(task: Task, language: str, metric: str | None, value: float | None, count: int, *, status: str) -> ScoreRow:
    return {
        "language": language,
        "metric": metric,
        "value": value,
        "count": count,
        "layer": None,
        "pooling": None,
        "selection": None,
        "status": status,
        "main": metric in task.main_score,
    }


def _write_submission(
    task: Task,
    language: str,
    examples: Sequence[Any],
    outputs: Sequence[dict[str, Any]],
    calibration: Mapping[str, Any] | None,
    folder: Path,
) -> None:
    """The file of XTREME's submission format (FACTS 2.5)."""
    if task.type.name == "span":
        answers = {e.id: task.type.answer(o) for e, o in zip(examples, outputs, strict=True)}
        folder.mkdir(exist_ok=True)
        (folder / f"test-{language}.json").write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
        return
    if calibration is None:
        lines = []
        for output in outputs:
            answer = task.type.answer(output)
            lines += [*answer, ""] if task.type.name == "tagging" else [answer]
    else:
        at = (calibration["layer"], calibration["pooling"])
        chosen = next(o for o in outputs if (o["layer"], o["pooling"]) == at)
        found = _retrieved(task, language, chosen, calibration)
        if found is None:
            return  # without a threshold there is no submission: an empty file would claim that nothing was found
        lines = ["\t".join(f) if isinstance(f, tuple) else str(f) for f in found]
    folder.mkdir(exist_ok=True)
    (folder / f"test-{language}.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
