"""Identity is data: equal specs have equal keys, any change has another."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xstilts.graph.node import Node, canonical

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
specs = st.dictionaries(st.text(), values, max_size=5)
parents = st.dictionaries(st.text(max_size=5), st.text("0123456789abcdef", min_size=64, max_size=64), max_size=2)


def shuffled(value: Any) -> Any:
    """The same value with every dictionary filled in the opposite order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(specs, parents)
def test_the_order_of_fields_does_not_matter(spec: dict[str, Any], above: dict[str, str]) -> None:
    assert Node("train", spec, above).key == Node("train", shuffled(spec), shuffled(above)).key


@given(specs, specs)
def test_different_specs_have_different_keys(one: dict[str, Any], two: dict[str, Any]) -> None:
    same = canonical(one) == canonical(two)
    assert (Node("train", one).key == Node("train", two).key) == same


@given(specs, st.text(), values)
def test_a_changed_or_added_field_changes_the_key(spec: dict[str, Any], name: str, value: Any) -> None:
    changed = {**spec, name: [value, "changed"]}
    if canonical(changed) != canonical(spec):
        assert Node("train", changed).key != Node("train", spec).key


@given(specs, parents)
def test_a_node_survives_json_with_its_key(spec: dict[str, Any], above: dict[str, str]) -> None:
    made = Node("train", spec, above, {"seed": 1})
    assert Node.from_json(json.loads(json.dumps(made.as_json()))).key == made.key


def test_kind_and_parents_are_identity_and_labels_are_not() -> None:
    made = Node("train", {"a": 1}, {"model": "0" * 64}, {"seed": 1})
    assert made.key == Node("train", {"a": 1}, {"model": "0" * 64}, {"seed": 2}).key
    assert made.key != Node("predict", {"a": 1}, {"model": "0" * 64}).key
    assert made.key != Node("train", {"a": 1}, {"model": "1" * 64}).key
    assert made.key != Node("train", {"a": 1}, {"other": "0" * 64}).key
