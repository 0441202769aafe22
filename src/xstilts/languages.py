"""The 40 languages of XTREME: codes, names, families and scripts (FACTS 3).

Codes and task lists are as read in XTREME's scorer, families as in its README; branch and script are standard knowledge.
``iso3`` is the code in LASER's Tatoeba file names. Universal Dependencies' file prefix equals ``code`` for all 33
part-of-speech languages, so it needs no field.
"""

from __future__ import annotations

from dataclasses import dataclass

from xstilts.errors import MissingNameError


@dataclass(frozen=True, slots=True)
class Language:
    """One language.

    Args:
        code: XTREME's two letters (ISO 639-1).
        name: in English.
        family: one of XTREME's 12 families, or ``Isolate``.
        branch: the sub-branch, empty where XTREME names none.
        script: ISO 15924.
        iso3: ISO 639-3, as in ``tatoeba.XXX-eng.XXX``.
    """

    code: str
    name: str
    family: str
    branch: str
    script: str
    iso3: str


_TABLE = """
en English Indo-European Germanic Latn eng
de German Indo-European Germanic Latn deu
fr French Indo-European Romance Latn fra
nl Dutch Indo-European Germanic Latn nld
ru Russian Indo-European Slavic Cyrl rus
it Italian Indo-European Romance Latn ita
es Spanish Indo-European Romance Latn spa
vi Vietnamese Austro-Asiatic - Latn vie
ja Japanese Japonic - Jpan jpn
zh Mandarin Sino-Tibetan - Hans cmn
ar Arabic Afro-Asiatic - Arab ara
pt Portuguese Indo-European Romance Latn por
fa Persian Indo-European Iranian Arab pes
id Indonesian Austronesian - Latn ind
fi Finnish Uralic - Latn fin
ko Korean Isolate Koreanic Kore kor
hu Hungarian Uralic - Latn hun
eu Basque Isolate - Latn eus
tr Turkish Turkic - Latn tur
ms Malay Austronesian - Latn zsm
bg Bulgarian Indo-European Slavic Cyrl bul
he Hebrew Afro-Asiatic - Hebr heb
kk Kazakh Turkic - Cyrl kaz
et Estonian Uralic - Latn est
el Greek Indo-European Greek Grek ell
ur Urdu Indo-European Indo-Aryan Arab urd
hi Hindi Indo-European Indo-Aryan Deva hin
ka Georgian Kartvelian - Geor kat
th Thai Kra-Dai - Thai tha
ta Tamil Dravidian - Taml tam
af Afrikaans Indo-European Germanic Latn afr
bn Bengali Indo-European Indo-Aryan Beng ben
tl Tagalog Austronesian - Latn tgl
ml Malayalam Dravidian - Mlym mal
te Telugu Dravidian - Telu tel
jv Javanese Austronesian - Latn jav
mr Marathi Indo-European Indo-Aryan Deva mar
my Burmese Sino-Tibetan - Mymr mya
sw Swahili Niger-Congo - Latn swh
yo Yoruba Niger-Congo - Latn yor
"""


def _parse(table: str) -> dict[str, Language]:
    rows = (line.split() for line in table.strip().splitlines())
    return {
        code: Language(code, name, family, "" if branch == "-" else branch, script, iso3)
        for code, name, family, branch, script, iso3 in rows
    }


LANGUAGES: dict[str, Language] = _parse(_TABLE)
"""Code -> language, by size of the Wikipedia (XTREME's order, from memory)."""


def language(code: str) -> Language:
    """The language with this code; an unknown one raises ``MissingNameError`` with the nearest codes and names."""
    if code in LANGUAGES:
        return LANGUAGES[code]
    by_name = {entry.name.lower(): entry.code for entry in LANGUAGES.values()}
    if code.lower() in by_name:
        raise MissingNameError("language", code, [by_name[code.lower()]])
    raise MissingNameError("language", code, LANGUAGES)


def private_use(code: str) -> bool:
    """Whether ISO 639 leaves this code to private use (qaa to qtz): constructed languages have such codes."""
    return len(code) == 3 and "qaa" <= code <= "qtz"


def codes(text: str) -> tuple[str, ...]:
    """The codes in a space-separated text, each known."""
    return tuple(language(code).code for code in text.split())
