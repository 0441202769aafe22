"""The tests of a study that is not finished: those still to come count in the family from the start.

Otherwise a verdict could be lost again as more scores arrive: the correction would have been for fewer tests than declared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from xstilts.statistics.corrections import Family

Test = tuple[str, str, str, str]
"""Model, arm, target, and the language where each language is tested (else empty)."""


def tests_to_come(
    payload: Mapping[str, Any],
    split: str,
    against: Mapping[str, str],
    family: Family,
    finished: Callable[[str], bool],
) -> frozenset[Test]:
    """The tests of the family that lack a score of either arm with any seed.

    Args:
        payload: what the store records of the study.
        split: which one is compared.
        against: arm -> the arm that it is compared with.
        family: what is tested.
        finished: whether the node with a key is done.
    """
    if len(payload["study"]["seeds"]) < 2:
        return frozenset()  # there is no test over one seed
    nodes = {node["key"]: node for node in payload["nodes"]}
    keys: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cell in payload["cells"]:
        if cell["split"] == split:
            keys[cell["model"], cell["arm"], cell["target"]].append(cell["key"])
    found = set()
    for (model, arm, target), own in keys.items():
        if arm in against:
            needed = [*own, *keys.get((model, against[arm], target), ())]
            if not all(map(finished, needed)):
                languages = nodes[own[0]]["spec"]["languages"] if family == "languages" else ("",)
                found |= {(model, arm, target, language) for language in languages}
    return frozenset(found)
