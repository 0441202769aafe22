"""The pocket world: constructed languages at declared distances, with exact gold for every task, in the published formats.

One generator of scenes (``scenes``), one grammar with five settings (``grammar``, ``tongues``), and rows derived from
scenes, so that gold is never guessed. No torch, no download, a few seconds.
"""

from xstilts.pocket.build import make_world, summary
from xstilts.pocket.identity import VERSION, is_current, read_made
from xstilts.pocket.tongues import Tongue
from xstilts.pocket.world import POCKET, World

__all__ = ["POCKET", "VERSION", "Tongue", "World", "is_current", "make_world", "read_made", "summary"]
