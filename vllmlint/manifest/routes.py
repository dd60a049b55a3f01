"""The route of a place in an object: `spec.template.spec.containers[0].args[3]`."""

from __future__ import annotations

from bisect import bisect_right

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence, Step
from vllmlint.manifest.text import Place
from vllmlint.regex import regex

_SIMPLE_KEY = regex(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def route_of(root: Node, place: Place) -> tuple[Step, ...]:
    """The steps from `root` to the innermost node (or key) that holds the start of a place.

    What an alias brings in is written elsewhere: for such a place the first use is named.
    """
    direct = _descend(root, place.start)
    return direct if direct else _search(root, place.start)


def _descend(root: Node, offset: int) -> tuple[Step, ...]:
    route: list[Step] = []
    node: Node | None = root
    while node is not None:
        step = _step(node, offset)
        if step is None:
            break
        route.append(step)
        node = node.at(step)
    return tuple(route)


def _step(node: Node, offset: int) -> Step | None:
    if isinstance(node, Mapping):
        keys = node.keys
        for name, value in node.entries.items():
            key = keys[name]
            # what stands between a key and its value (the colon, a comment) belongs to both; an alias's
            # value stands elsewhere
            end = value.start if value.start >= key.end else key.end
            if key.start <= offset < end or _holds(value, offset):
                return name
    elif isinstance(node, Sequence):
        index = bisect_right(node.items, offset, key=lambda item: item.start) - 1
        if index >= 0 and _holds(node.items[index], offset):
            return index
        # an alias has the place of what it stands for, so that the items need not be in order
        return next((number for number, item in enumerate(node.items) if _holds(item, offset)), None)
    return None


def _holds(node: Node, offset: int) -> bool:
    return node.start <= offset < max(node.end, node.start + 1)


def _search(root: Node, offset: int) -> tuple[Step, ...]:
    """Depth first over every use of every node, for places outside the root's own text."""
    stack: list[tuple[Node, tuple[Step, ...]]] = [(root, ())]
    seen: set[int] = set()
    while stack:
        node, route = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Scalar):
            if node.start <= offset < max(node.end, node.start + 1):
                return route
        elif isinstance(node, Mapping):
            keys = node.keys
            for name, value in reversed(node.entries.items()):
                key = keys[name]
                if key.start <= offset < key.end:
                    return (*route, name)
                stack.append((value, (*route, name)))
        elif isinstance(node, Sequence):
            stack += [(item, (*route, index)) for index, item in reversed(list(enumerate(node.items)))]
    return ()


def format_route(route: tuple[Step, ...]) -> str:
    """A route as text; keys that are no plain words are quoted (`nodeSelector["a/b"]`)."""
    parts: list[str] = []
    for step in route:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _SIMPLE_KEY.match(step):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f'["{step}"]')
    return "".join(parts)
