"""What the languages are: growing farther from the source in words and in order, with supertags that combine."""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise

import pytest
from small_world import FOREIGN, SMALL, examples, share

from xstilts.pocket.draw import Draw
from xstilts.pocket.grammar import Speaker, Word, place_of, text_of
from xstilts.pocket.lexicon import Lexicon
from xstilts.pocket.scenes import Scene, scene
from xstilts.pocket.tongues import OKHURI, SOURCE, TONGUES, Tongue

SCENES = [scene(draw) for draw in [Draw("test", "scenes")] for _ in range(300)]


@cache
def speaker(code: str) -> Speaker:
    return next(Speaker(t, SMALL.seed) for t in TONGUES if t.code == code)


def identical(code: str) -> float:
    """Share of words and names that are written as in the source."""
    own, source = speaker(code).lexicon, speaker("en").lexicon
    pairs = [*((own.words[c], source.words[c]) for c in source.words), *((own.names[n], n) for n in own.names)]
    return share([mine == theirs for mine, theirs in pairs])


def agreement(code: str) -> float:
    """Share of pairs of words of a sentence that stand in the same order as in the source."""
    same = []
    for each in SCENES:
        order = positions(speaker("en").say(each))
        own = positions(speaker(code).say(each))
        shared = [concept for concept in order if concept in own]
        same += [(order[a] < order[b]) == (own[a] < own[b]) for a, b in combinations(shared, 2)]
    return share(same)


def positions(words: list[Word]) -> dict[str, int]:
    """Where each concept stands; those that stand twice (articles) are left out."""
    named = [word.concept for word in words]
    return {concept: at for at, concept in enumerate(named) if concept and named.count(concept) == 1}


def test_distances_are_declared_and_everything_declared_falls_with_them() -> None:
    assert [t.distance for t in TONGUES] == [0, 1, 2, 3, 4]
    for near, far in pairwise(TONGUES[1:]):
        assert near.cognates > far.cognates
        assert near.mixed > far.mixed
        assert near.bitext > far.bitext
        assert len(near.shared_names) > len(far.shared_names)


def test_shared_words_fall_with_the_declared_distance() -> None:
    found = [identical(code) for code in FOREIGN]
    assert found == sorted(found, reverse=True) and len(set(found)) == len(found)
    assert found[0] > 20 and found[-1] == 0


def test_word_order_agrees_less_with_the_declared_distance() -> None:
    found = [agreement(code) for code in FOREIGN]
    assert found == sorted(found, reverse=True) and len(set(found)) == len(found)
    assert found[0] > 95 and found[-1] < 75


@pytest.mark.parametrize("tongue", TONGUES, ids=lambda t: t.code)
def test_a_word_names_one_concept(tongue: Tongue) -> None:
    lexicon = Lexicon(tongue, SMALL.seed)
    named = [form for forms in lexicon.words.values() for form in dict.fromkeys(forms)]
    twice = {form for form in named if named.count(form) > 1}
    assert twice <= {"light"}  # a lamp in the source, and a quality
    assert not {"a", "an", "the"} & set(named) or tongue is SOURCE
    assert 150 <= len(lexicon.words) <= 220


def test_scripts_are_their_own() -> None:
    shared = {"Latn": range(0x41, 0x7B), "Cyrl": range(0x410, 0x450), "Geor": range(0x10D0, 0x10FB)}
    for tongue in TONGUES:
        letters = {letter for forms in Lexicon(tongue, 1).words.values() for form in forms for letter in form}
        assert {ord(letter) for letter in letters} <= set(shared[tongue.script])


def test_another_seed_gives_other_words() -> None:
    one, two = Lexicon(OKHURI, 1), Lexicon(OKHURI, 2)
    assert share([one.words[c] == two.words[c] for c in one.words]) < 5


def test_a_sentence_in_every_language() -> None:
    """One scene by hand: order, sides, particles and suffixes are as the tongues declare."""
    told = Scene(*(scene(Draw(1))._replace(negated=False)))
    for tongue in TONGUES:
        words = speaker(tongue.code).say(told)
        kinds = [word.role or word.upos for word in words]
        verb, objects = kinds.index("VERB"), kinds.index("object")
        agent = kinds.index("agent")
        order = "".join(name for _, name in sorted([(agent, "S"), (verb, "V"), (objects, "O")]))
        assert order == tongue.order, text_of(words)


def test_roles_stand_where_their_offsets_say() -> None:
    for each in SCENES[:100]:
        words = speaker("qad").say(each)
        text, start = place_of(words, "object", 5)
        assert ("....." + text_of(words))[start : start + len(text)] == text != ""


def test_supertags_combine_to_a_sentence() -> None:
    """Every CCG sentence reduces to S by forward and backward application (``X conj X`` is X, nouns may be phrases)."""
    for row in examples("ccg", "dev"):
        tags = [tag for tag in row.tags if tag != "."]
        assert "S" in parsed(tuple(tags)), row


def parsed(tags: tuple[str, ...]) -> set[str]:
    """The categories without features that all of ``tags`` together can have."""
    chart: dict[tuple[int, int], set[str]] = {}
    for width in range(1, len(tags) + 1):
        for start in range(len(tags) - width + 1):
            if width == 1:
                chart[start, start + 1] = {plain(tags[start])}
                continue
            cell: set[str] = set()
            for split in range(start + 1, start + width):
                for left in chart[start, split]:
                    for right in chart[split, start + width]:
                        cell |= combined(left, right)
            chart[start, start + width] = cell
    return chart[0, len(tags)]


def plain(tag: str) -> str:
    for feature in ("[dcl]", "[b]", "[adj]"):
        tag = tag.replace(feature, "")
    return tag


def combined(left: str, right: str) -> set[str]:
    found = set()
    for function, argument, slash in ((left, right, "/"), (right, left, "\\")):
        result, at, wanted = cut(function)
        if at == slash and wanted == argument:
            found.add(result)
    if left == "conj":
        found.add(f"{right}\\{bracketed(right)}")
    return found


def bracketed(tag: str) -> str:
    return f"({tag})" if "/" in tag or "\\" in tag else tag


def cut(tag: str) -> tuple[str, str, str]:
    """Result, slash and argument at the outermost slash; empty where there is none."""
    depth = 0
    for at in range(len(tag) - 1, -1, -1):
        depth += (tag[at] == ")") - (tag[at] == "(")
        if depth == 0 and tag[at] in "/\\":
            return stripped(tag[:at]), tag[at], stripped(tag[at + 1 :])
    return tag, "", ""


def stripped(tag: str) -> str:
    return tag[1:-1] if tag.startswith("(") and tag.endswith(")") else tag
