"""Nodes put together from parts of a manifest, so that every scalar keeps its own characters.

A controller builds a pod out of fields that lie elsewhere: another object, a map instead of a list, YAML
inside a string. Here that pod is assembled from the original nodes. What a finding underlines is therefore
always what somebody wrote, in the file where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingType
from typing import Final

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.reader import read_manifest
from vllmlint.manifest.text import Place

#: Lists that Kubernetes merges item by item, with the key that identifies an item.
_MERGED_LISTS: Final = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}


class StandIn(Scalar):
    """A text that stands for what is written, in other words, at `at`: its every part is all of that."""

    __slots__ = ()

    def __init__(self, text: str, at: Node) -> None:
        """Take the characters of `at`, without quotes."""
        place = at.content if isinstance(at, Scalar) else at.place
        super().__init__(place.source, place.start, place.end, text, "", None)

    def part(self, _start: int, _end: int) -> Place:
        """The whole place: the text is not the one that stands there."""
        return self.place


class Joined(Scalar):
    """Several scalars in one text (`repository`, `:`, `tag`); a part lies in the scalar it comes from."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Iterable[str | Scalar]) -> None:
        """Join scalars and the texts between them; at least one piece is a scalar."""
        kept = tuple(pieces)
        first = next(piece for piece in kept if isinstance(piece, Scalar))
        text = "".join(piece if isinstance(piece, str) else piece.text for piece in kept)
        super().__init__(first.source, first.start, first.end, text, first.style, None)
        self._pieces = kept

    def part(self, start: int, end: int) -> Place:
        """The characters of `text[start:end]`, as far as they lie in one scalar."""
        offset = 0
        found: list[Place] = []
        for piece in self._pieces:
            length = len(piece) if isinstance(piece, str) else len(piece.text)
            low, high = max(start - offset, 0), min(end - offset, length)
            if isinstance(piece, Scalar) and low < high:
                found.append(piece.part(low, high))
            offset += length
        if not found:
            return self.place
        # pieces may stand in any order, with other text between: only one of them can be underlined
        return max(found, key=lambda place: place.end - place.start)

    @property
    def content(self) -> Place:
        """The longest piece."""
        return self.part(0, len(self.text))


class Inner(Scalar):
    """A scalar of YAML that stands inside a string; `outer` is the scalar that holds the string."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, inner: Scalar, outer: Scalar) -> None:
        """Keep both: a part is first found in the string, then in the file."""
        place = outer.part(inner.start, inner.end)
        super().__init__(place.source, place.start, place.end, inner.text, inner.style, inner.tag)
        self._inner = inner
        self._outer = outer

    def part(self, start: int, end: int) -> Place:
        """The characters of `text[start:end]` in the file."""
        place = self._inner.part(start, end)
        return self._outer.part(place.start, place.end)

    @property
    def content(self) -> Place:
        """The characters of the text in the file, without quotes."""
        place = self._inner.content
        return self._outer.part(place.start, place.end)


def inner_document(outer: Scalar | None) -> Mapping | None:
    """The mapping in a string of YAML, with its characters in the file; None when it holds none."""
    if outer is None:
        return None
    documents = read_manifest("", outer.text.encode("utf-8", "surrogatepass")).documents
    root = _transplant(documents[0].root, outer) if documents else None
    return root if isinstance(root, Mapping) else None


def _transplant(node: Node, outer: Scalar) -> Node:
    if isinstance(node, Scalar):
        return Inner(node, outer)
    place = outer.part(node.start, min(node.end, len(outer.text)))
    if isinstance(node, Mapping):
        entries = {name: _transplant(child, outer) for name, child in node.entries.items()}
        keys: dict[str, Scalar] = {name: Inner(key, outer) for name, key in node.keys.items()}
        return Mapping(place.source, place.start, place.end, entries, keys)
    items = node.items if isinstance(node, Sequence) else []
    return Sequence(place.source, place.start, place.end, [_transplant(item, outer) for item in items])


def mapping_at(at: Node, entries: MappingType[str, Node | None]) -> Mapping:
    """A mapping made of `entries` (None is left out) that stands where `at` does."""
    kept = {name: node for name, node in entries.items() if node is not None}
    keys: dict[str, Scalar] = {name: StandIn(name, node) for name, node in kept.items()}
    return Mapping(at.source, at.start, at.end, kept, keys)


def sequence_at(at: Node, items: Iterable[Node]) -> Sequence:
    """A sequence of `items` that stands where `at` does."""
    return Sequence(at.source, at.start, at.end, list(items))


def without(node: Mapping, *names: str) -> Mapping:
    """A mapping without some of its keys."""
    entries = {name: child for name, child in node.entries.items() if name not in names}
    return Mapping(node.source, node.start, node.end, entries, node.keys)


def with_entries(node: Mapping, entries: MappingType[str, Node | None]) -> Mapping:
    """A mapping with some entries set (None leaves what is there)."""
    added = mapping_at(node, entries)
    # what is set by hand keeps the key that was written, where there is one
    keys = {**added.keys, **node.keys}
    return Mapping(node.source, node.start, node.end, {**node.entries, **added.entries}, keys)


def merged(
    base: Mapping | None, over: Mapping | None, append: frozenset[str] = frozenset()
) -> Mapping | None:
    """Two mappings merged as Kubernetes' strategic merge does it: `over` wins, mappings and keyed lists
    are merged item by item, other lists replaced (those named in `append` appended)."""
    if base is None or over is None:
        return over if base is None else base
    entries, keys = dict(base.entries), dict(base.keys)
    for name, node in over.entries.items():
        below = entries.get(name)
        entries[name] = node if below is None else _merged_child(name, below, node, append)
        keys[name] = over.keys[name]
    return Mapping(over.source, over.start, over.end, entries, keys)


def _merged_child(name: str, below: Node, node: Node, append: frozenset[str]) -> Node:
    if isinstance(below, Mapping) and isinstance(node, Mapping):
        return merged(below, node, append) or node
    if isinstance(below, Sequence) and isinstance(node, Sequence):
        if name in append:
            return sequence_at(node, [*below.items, *node.items])
        if name in _MERGED_LISTS:
            return _merged_list(_MERGED_LISTS[name], below, node, append)
    return node


def _merged_list(key: str, below: Sequence, over: Sequence, append: frozenset[str]) -> Sequence:
    items: list[Node] = list(below.items)
    places = {item.string(key): index for index, item in enumerate(items)}
    for item in over.items:
        index = places.get(item.string(key))
        known = items[index] if index is not None else None
        if index is not None and isinstance(known, Mapping) and isinstance(item, Mapping):
            # a variable is one thing: its value and its source do not mix
            items[index] = (
                item if key == "name" and _is_variable(known, item) else merged(known, item, append) or item
            )
        else:
            items.append(item)
    return sequence_at(over, items)


def _is_variable(*items: Mapping) -> bool:
    return any("value" in item.entries or "valueFrom" in item.entries for item in items)


def env_list(variables: Mapping | None) -> Sequence | None:
    """A map of variables as the list that a container has."""
    if variables is None:
        return None
    return sequence_at(variables, _env_items(variables))


def _env_items(variables: Mapping) -> Iterator[Mapping]:
    for name, value in variables.entries.items():
        if isinstance(value, Scalar):
            key = variables.keys[name]
            yield Mapping(
                key.source, key.start, value.end, {"name": key, "value": value}, {"name": key, "value": key}
            )


def added_env(container: Mapping, extra: Iterable[Mapping]) -> Mapping:
    """A container with more variables in front of its own, which win."""
    own = container.sequence("env")
    items = [*extra, *(own.items if own is not None else ())]
    return with_entries(container, {"env": sequence_at(own or container, items)}) if items else container


def env_entry(name: str, value: Scalar, at: Node | None = None) -> Mapping:
    """One variable that a controller sets from a field: `value` holds what it says."""
    return mapping_at(at or value, {"name": StandIn(name, at or value), "value": value})


def sidecar(name: str, port: int, at: Node) -> Mapping:
    """A native sidecar that a controller adds, listening on `port`."""
    ports = sequence_at(at, [mapping_at(at, {"containerPort": StandIn(str(port), at)})])
    return mapping_at(at, {"name": StandIn(name, at), "restartPolicy": StandIn("Always", at), "ports": ports})
