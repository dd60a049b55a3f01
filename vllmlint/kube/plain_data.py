"""Manifest nodes as plain data, and back: where in the file a field of the data stands."""

from __future__ import annotations

from typing import Any

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence, Step
from vllmlint.manifest.text import Place


def plain_data(node: Node | None) -> Any:
    """What JSON would hold: mappings, lists and scalars as kubectl reads them; None for no node."""
    if isinstance(node, Mapping):
        return {key: plain_data(one) for key, one in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain_data(one) for one in node.items]
    return node.value if isinstance(node, Scalar) else None


def place_of(root: Node, route: tuple[Step, ...]) -> Place | None:
    """The characters of a field: a scalar's own text, else the key that holds it, else the nearest above.

    None for an empty route, and where nothing of it is there.
    """
    node: Node = root
    found: Place | None = None
    for step in route:
        below = node.at(step)
        if below is None:
            break
        key = node.key(step) if isinstance(node, Mapping) and isinstance(step, str) else None
        if isinstance(below, Scalar) and not below.is_null:
            found = below.content
        else:
            found = key.content if key is not None else below.place
        node = below
    return found
