"""The files of the nine target tasks, under the names that XTREME gives them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from xstilts.pocket import datasets, formats
from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, text_of
from xstilts.pocket.inference import LABELS, Inference, inference
from xstilts.pocket.paraphrase import Paraphrase, paraphrase
from xstilts.pocket.reading import Paragraph, as_squad
from xstilts.pocket.scenes import Saying, gist
from xstilts.pocket.world import World

Files = Iterator[tuple[str, str]]
"""Names under the data folder with their content."""


def sizes(world: World) -> dict[str, int]:
    """Rows of the three splits."""
    return {"train": world.train_rows, "dev": world.dev_rows, "test": world.test_rows}


def inferences(draw: Draw, count: int, seen: set[Hashable]) -> list[Inference]:
    """Balanced pairs, each with a premise of its own."""
    labels = datasets.balanced(draw, LABELS, count)
    return datasets.distinct(lambda k: inference(draw, labels[k]), count, seen, lambda row: row.premise)


def paraphrases(draw: Draw, count: int, seen: set[Hashable], questions: bool = False) -> list[Paraphrase]:
    """Balanced pairs, each with a first text of its own."""
    labels = datasets.balanced(draw, ("0", "1"), count)
    return datasets.distinct(lambda k: paraphrase(draw, labels[k], questions), count, seen, _first_text)


def _first_text(row: Paraphrase) -> Hashable:
    """What the first text says: a question does not say what it asks for."""
    if row.asked is None:
        return row.first
    return row.asked, row.first._replace(place=None) if row.asked == "place" else row.first._replace(time="")


def classification(world: World, speakers: Sequence[Speaker], pairs: set[Hashable]) -> Files:
    """XNLI and PAWS-X: dev and test say the same in every language. ``pairs`` grows by XNLI's premises."""
    sentences: set[Hashable] = set()
    for split, count in sizes(world).items():
        nli = inferences(Draw(world.seed, "xnli", split), count, pairs)
        paws = paraphrases(Draw(world.seed, "pawsx", split), count, sentences)
        for speaker in [s for s in speakers if s.tongue.taught] if split == "train" else speakers:
            ending = f"{split}-{speaker.tongue.code}.tsv"
            yield (
                f"xnli/{ending}",
                formats.table(
                    (_told(speaker, row.premise), text_of(speaker.say(row.hypothesis)), row.label) for row in nli
                ),
            )
            yield (
                f"pawsx/{ending}",
                formats.table(
                    (text_of(speaker.say(row.first)), text_of(speaker.say(row.second)), row.label) for row in paws
                ),
            )


def _told(speaker: Speaker, sayings: Sequence[Saying]) -> str:
    return " ".join(text_of(speaker.say(saying)) for saying in sayings)


def tagging(world: World, speakers: Sequence[Speaker], tagged: set[Hashable]) -> Files:
    """udpos and panx: not parallel, as the treebanks and WikiAnn are not. ``tagged`` grows by the source's sentences."""
    for speaker in speakers:
        code = speaker.tongue.code
        said = tagged if speaker is speakers[0] else set[Hashable]()
        named: set[Hashable] = set()
        splits = sizes(world)
        if (
            speaker is not speakers[0]
        ):  # what is scored is drawn first, so that it is the same with training rows and without
            rows_to_learn = splits.pop("train")
            splits |= {"train": rows_to_learn} if speaker.tongue.taught else {}
        for split, count in splits.items():
            rows = datasets.utterances(Draw(world.seed, "udpos", code, split), speaker, count, said)
            words = [datasets.tagged(speaker, row) for row in rows]
            yield f"udpos/{split}-{code}.tsv", formats.word_lines([(w.form, w.upos) for w in each] for each in words)
            scenes = datasets.named(Draw(world.seed, "panx", code, split), speaker, count, named)
            spoken = [speaker.say(scene) for scene in scenes]
            yield (
                f"panx/{split}-{code}.tsv",
                formats.word_lines(zip([w.form for w in each], datasets.bio(each), strict=True) for each in spoken),
            )


def questions(world: World, speakers: Sequence[Speaker]) -> Files:
    """XQuAD and MLQA, parallel, and TyDiQA, which is not. XQuAD and MLQA are trained on SQuAD's questions."""
    seen: set[Hashable] = set()
    parallel = {
        "xquad/xquad.{0}.json": ("xquad", world.test_rows),
        "mlqa/MLQA_V1/dev/dev-context-{0}-question-{0}.json": ("mlqa-dev", world.dev_rows),
        "mlqa/MLQA_V1/test/test-context-{0}-question-{0}.json": ("mlqa-test", world.test_rows),
    }
    for pattern, (name, count) in parallel.items():
        told = datasets.paragraphs(Draw(world.seed, name), count, seen)
        for speaker in speakers:
            yield pattern.format(speaker.tongue.code), _squad(speaker, told, count, name)
    for speaker in speakers:
        code = speaker.tongue.code
        splits = [("dev", world.test_rows)]
        if speaker is speakers[0]:
            splits.append(("train", world.train_questions))
        for split, count in splits:
            told = datasets.paragraphs(Draw(world.seed, "tydiqa", code, split), count, seen)
            name = f"tydiqa/tydiqa-goldp-v1.1-{split}/tydiqa.goldp.{code}.{split}.json"
            yield name, _squad(speaker, told, count, f"tydiqa_{split}")


def _squad(speaker: Speaker, told: list[Paragraph], count: int, prefix: str) -> str:
    return formats.as_json(as_squad(speaker, told, count, prefix))


def retrieval(world: World, speakers: Sequence[Speaker], reserved: set[Saying]) -> Files:
    """Tatoeba, its English side sorted as in XTREME, and BUCC's pools. ``reserved`` grows by what they say."""
    seen: set[Hashable] = set()
    scenes = datasets.translated(Draw(world.seed, "tatoeba"), speakers, world.tatoeba_pairs, seen)
    reserved.update(map(gist, scenes))
    source = speakers[0]
    for speaker in speakers[1:]:
        code = speaker.tongue.code
        foreign = Draw(world.seed, "tatoeba", code).shuffled(scenes)
        english = [text_of(source.say(scene)) for scene in foreign]
        order = sorted(range(len(english)), key=lambda line: english[line])  # XTREME sorts the English lines
        yield f"tatoeba/{code}-en.{code}", formats.table((text_of(speaker.say(scene)),) for scene in foreign)
        yield f"tatoeba/{code}-en.en", formats.table((english[line],) for line in order)
        yield f"labels/tatoeba/test-{code}.tsv", formats.table((str(line),) for line in order)
        for split, (pool, planted) in (("dev", world.bucc_dev), ("test", world.bucc_test)):
            draw = Draw(world.seed, "bucc", code, split)
            found = datasets.translated(draw, (source, speaker), 2 * pool - planted, seen)
            reserved.update(map(gist, found))
            yield from _bucc(draw, (source, speaker), found, pool, planted, f"bucc2018/{code}-en.{split}")


def _bucc(
    draw: Draw, speakers: tuple[Speaker, Speaker], scenes: Sequence[Saying], pool: int, planted: int, stem: str
) -> Files:
    """Two pools that share the first ``planted`` scenes, and the pairs of their ids."""
    source, speaker = speakers
    code = speaker.tongue.code
    foreign = draw.shuffled([*range(planted), *range(planted, pool)])
    english = draw.shuffled([*range(planted), *range(pool, 2 * pool - planted)])

    def lines(who: Speaker, numbers: Sequence[int]) -> str:
        name = who.tongue.code
        return formats.table(
            (f"{name}-{at:06d}", text_of(who.say(scenes[number]))) for at, number in enumerate(numbers, start=1)
        )

    yield f"{stem}.{code}", lines(speaker, foreign)
    yield f"{stem}.en", lines(source, english)
    where = {number: at for at, number in enumerate(english, start=1)}
    gold = [(f"{code}-{at:06d}", f"en-{where[number]:06d}") for at, number in enumerate(foreign, 1) if number < planted]
    yield f"{stem}.gold", formats.table(gold)
