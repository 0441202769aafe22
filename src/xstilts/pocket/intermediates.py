"""The files of the nine intermediate tasks, in the source, under their published names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

from xstilts.pocket import datasets, formats
from xstilts.pocket.choices import Choice, before_or_after, ending, which_kind
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, text_of
from xstilts.pocket.inference import Inference
from xstilts.pocket.interlinear import Say, interlinear, translated
from xstilts.pocket.reading import as_squad
from xstilts.pocket.scenes import Saying, Scene, scene
from xstilts.pocket.targets import Files, inferences, paraphrases
from xstilts.pocket.world import World

UNANSWERABLE = 1 / 3
_CCG_FILES = {"train": ("wsj_0200", "wsj_1000", "wsj_2000"), "dev": ("wsj_0001",)}


def intermediates(world: World, speakers: Sequence[Speaker], pairs: set[Hashable], tagged: set[Hashable]) -> Files:
    """Every file of every intermediate task; ``pairs`` and ``tagged`` are what XNLI and udpos say, and is not said again."""
    source = speakers[0]
    yield from _inference(world, speakers, pairs)
    yield from _questions(world, source)
    yield from _reading(world, source)
    yield from _supertags(world, source, tagged)
    yield from _choices(world, source)


def _inference(world: World, speakers: Sequence[Speaker], seen: set[Hashable]) -> Files:
    """MultiNLI, SNLI and ANLI's three rounds: ANLI tells more than one thing before it asks.

    MultiNLI's training rows are also there in a machine's words for each other language that is taught.
    """
    source = speakers[0]
    for split, rows in (("train", world.train_rows), ("dev", world.dev_rows)):
        mnli = "train" if split == "train" else "dev_matched"
        name = f"multinli_1.0/multinli_1.0_{mnli}.jsonl"
        found = inferences(Draw(world.seed, "mnli", split), rows, seen)
        yield name, _pairs(source.say, found)
        for speaker in [s for s in speakers[1:] if s.tongue.taught and split == "train"]:
            yield from translated(speaker, name, _pairs(interlinear(source, speaker), found), rows)
        name = f"snli_1.0/snli_1.0_{split}.jsonl"
        yield name, _pairs(source.say, inferences(Draw(world.seed, "snli", split), rows // 4, seen))
        for number in (1, 2, 3):
            draw = Draw(world.seed, "anli", number, split)
            found = inferences(draw, rows // 12, seen)
            yield f"anli_v0.1/R{number}/{split}.jsonl", _contexts(source, draw, found)


def _pairs(say: Say, rows: Sequence[Inference]) -> str:
    return formats.json_lines(
        {
            "gold_label": row.label,
            "sentence1": _told(say, row.premise),
            "sentence2": text_of(say(row.hypothesis)),
            "pairID": str(number),
        }
        for number, row in enumerate(rows)
    )


def _contexts(source: Speaker, draw: Draw, rows: Sequence[Inference]) -> str:
    """ANLI's rows: the premise stands beside a scene of another agent and another object."""
    written: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        aside = _beside(draw, row)
        told = (aside, *row.premise) if draw.chance(0.5) else (*row.premise, aside)
        hypothesis = text_of(source.say(row.hypothesis))
        label = row.label[0]
        written.append(
            {"uid": str(number), "context": _told(source.say, told), "hypothesis": hypothesis, "label": label}
        )
    return formats.json_lines(written)


def _beside(draw: Draw, row: Inference) -> Scene:
    premise = row.premise[0]
    assert isinstance(premise, Scene)
    while True:
        found = scene(draw)
        if found.agent.head != premise.agent.head and found.object.head != premise.object.head:
            return found


def _told(say: Say, sayings: Sequence[Saying]) -> str:
    return " ".join(text_of(say(saying)) for saying in sayings)


def _questions(world: World, source: Speaker) -> Files:
    """QQP's table."""
    seen: set[Hashable] = set()
    for split, count in (("train", world.train_rows), ("dev", world.dev_rows)):
        rows = paraphrases(Draw(world.seed, "qqp", split), count, seen, questions=True)
        table = [("id", "qid1", "qid2", "question1", "question2", "is_duplicate")]
        for number, row in enumerate(rows):
            assert row.asked is not None
            first, second = (text_of(source.ask(each, row.asked)) for each in (row.first, row.second))
            table.append((str(number), str(2 * number), str(2 * number + 1), first, second, row.label))
        yield f"QQP/{split}.tsv", formats.table(table)


def _reading(world: World, source: Speaker) -> Files:
    """SQuAD v1.1, and v2.0 with a share of questions without an answer."""
    seen: set[Hashable] = set()
    for split, count in (("train", world.train_questions), ("dev", world.dev_rows)):
        for version, share in (("v1.1", 0.0), ("v2.0", UNANSWERABLE)):
            told = datasets.paragraphs(Draw(world.seed, "squad", version, split), count, seen, share)
            squad = as_squad(source, told, count, f"squad_{version}_{split}")
            yield f"squad/{split}-{version}.json", formats.as_json(squad)


def _supertags(world: World, source: Speaker, seen: set[Hashable]) -> Files:
    """Sentences with their categories, over as many sections as the reader looks for."""
    for split, count in (("train", world.train_rows), ("dev", world.dev_rows)):
        draw = Draw(world.seed, "ccg", split)
        rows = [row for row, _ in datasets.utterances(draw, source, count, seen, questions=False)]
        names = _CCG_FILES[split]
        for part, name in enumerate(names):
            sentences = [source.say(row) for row in rows[part :: len(names)]]
            yield f"ccg/{name}.auto", formats.auto([(w.form, w.upos, w.supertag) for w in s] for s in sentences)


def _choices(world: World, source: Speaker) -> Files:
    """HellaSwag, Cosmos QA and CommonsenseQA."""
    stories: set[Hashable] = set()
    told: set[Hashable] = set()
    asked: set[Hashable] = set()
    for split, count in (("train", world.train_choices), ("dev", world.dev_rows)):
        train = split == "train"
        draw = Draw(world.seed, "hellaswag", split)
        at = draw.shuffled([k % 4 for k in range(count)])  # the right choice stands everywhere as often
        rows = datasets.distinct(partial(_nth, ending, source, draw, at), count, stories, _story_of)
        yield f"hellaswag/hellaswag_{'train' if train else 'val'}.jsonl", formats.hellaswag(rows)
        draw = Draw(world.seed, "cosmosqa", split)
        rows = datasets.distinct(partial(_nth, before_or_after, source, draw, at), count, told, _story_of)
        yield f"cosmosqa/{'train' if train else 'valid'}.csv", formats.cosmosqa(rows)
        draw = Draw(world.seed, "commonsense_qa", split)
        at = draw.shuffled([k % 5 for k in range(count)])
        kind = partial(which_kind, held_out=not train)
        rows = datasets.distinct(partial(_nth, kind, source, draw, at), count, asked, _asked_of)
        yield f"commonsense_qa/{split}_rand_split.jsonl", formats.commonsense_qa(rows)


def _nth(
    make: Callable[[Speaker, Draw, int], Choice], source: Speaker, draw: Draw, at: Sequence[int], number: int
) -> Choice:
    """Row ``number``, its right choice where ``at`` says."""
    return make(source, draw, at[number])


def _story_of(row: Choice) -> Hashable:
    return row.story


def _asked_of(row: Choice) -> Hashable:
    return (row.question, row.choices)
