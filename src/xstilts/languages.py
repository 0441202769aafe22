"""The 40 languages of XTREME: codes, names, families and scripts (FACTS 3).

Codes and task lists are as read in XTREME's scorer, families as in its README; branch and script are standard knowledge.
``iso3`` is the code in LASER's Tatoeba file names. Universal Dependencies' file prefix equals ``code`` for all 33
part-of-speech languages, so it needs no field. ``articles`` is recalled, not read: good for three sizes, no more.
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
        articles: of its Wikipedia, in millions, as in the appendix of XTREME's paper: recalled from memory.
    """

    code: str
    name: str
    family: str
    branch: str
    script: str
    iso3: str
    articles: float

    @property
    def size(self) -> str:
        """How much text there is of it, in our own three classes of Wikipedia articles (recalled)."""
        return "1M and more" if self.articles >= 1 else "0.1M to 1M" if self.articles >= 0.1 else "below 0.1M"


_TABLE = """
en English Indo-European Germanic Latn eng 5.98
de German Indo-European Germanic Latn deu 2.37
fr French Indo-European Romance Latn fra 2.16
nl Dutch Indo-European Germanic Latn nld 1.99
ru Russian Indo-European Slavic Cyrl rus 1.58
it Italian Indo-European Romance Latn ita 1.57
es Spanish Indo-European Romance Latn spa 1.56
vi Vietnamese Austro-Asiatic - Latn vie 1.24
ja Japanese Japonic - Jpan jpn 1.18
zh Mandarin Sino-Tibetan - Hans cmn 1.09
ar Arabic Afro-Asiatic - Arab ara 1.02
pt Portuguese Indo-European Romance Latn por 1.02
fa Persian Indo-European Iranian Arab pes 0.70
id Indonesian Austronesian - Latn ind 0.51
fi Finnish Uralic - Latn fin 0.47
ko Korean Isolate Koreanic Kore kor 0.47
hu Hungarian Uralic - Latn hun 0.46
eu Basque Isolate - Latn eus 0.34
tr Turkish Turkic - Latn tur 0.34
ms Malay Austronesian - Latn zsm 0.33
bg Bulgarian Indo-European Slavic Cyrl bul 0.26
he Hebrew Afro-Asiatic - Hebr heb 0.25
kk Kazakh Turkic - Cyrl kaz 0.23
et Estonian Uralic - Latn est 0.20
el Greek Indo-European Greek Grek ell 0.17
ur Urdu Indo-European Indo-Aryan Arab urd 0.15
hi Hindi Indo-European Indo-Aryan Deva hin 0.13
ka Georgian Kartvelian - Geor kat 0.13
th Thai Kra-Dai - Thai tha 0.13
ta Tamil Dravidian - Taml tam 0.12
af Afrikaans Indo-European Germanic Latn afr 0.09
bn Bengali Indo-European Indo-Aryan Beng ben 0.08
tl Tagalog Austronesian - Latn tgl 0.08
ml Malayalam Dravidian - Mlym mal 0.07
te Telugu Dravidian - Telu tel 0.07
jv Javanese Austronesian - Latn jav 0.06
mr Marathi Indo-European Indo-Aryan Deva mar 0.06
my Burmese Sino-Tibetan - Mymr mya 0.05
sw Swahili Niger-Congo - Latn swh 0.05
yo Yoruba Niger-Congo - Latn yor 0.03
"""


def _parse(table: str) -> dict[str, Language]:
    rows = (line.split() for line in table.strip().splitlines())
    return {
        code: Language(code, name, family, "" if branch == "-" else branch, script, iso3, float(articles))
        for code, name, family, branch, script, iso3, articles in rows
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
