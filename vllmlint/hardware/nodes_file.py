"""Files of real nodes (`kubectl get nodes -o yaml` or `-o json`), read without holding them whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vllmlint.kube.node import Node, NodeError, node_from_object
from vllmlint.record import record, replace

_HOW = " (`kubectl get nodes -o json` makes such a file)"
_SLICE = "ResourceSlice"


class NodesFileError(ValueError):
    """A file that is no list of nodes; the text says where and why."""


@record
class NodesFile:
    """What files of nodes hold: the nodes, and all other objects as plain data (pods, resource slices, …)."""

    nodes: tuple[Node, ...]
    objects: tuple[Mapping[str, Any], ...] = ()


def read_nodes(name: str, chunks: Iterable[str]) -> NodesFile:
    """The nodes of one file, given in pieces of any size: a List, a NodeList, single objects, or several
    documents, in YAML or JSON.

    Raises NodesFileError with the place of what is wrong. A file of any size needs little more memory than
    the nodes themselves: objects are read one by one, and of a node only what placement asks is kept.
    """
    pieces = iter(chunks)
    head = ""
    for piece in pieces:
        head += piece
        if head.strip("\ufeff \t\r\n"):
            break
    head = head.removeprefix("\ufeff")
    if head.lstrip(" \t\r\n")[:1] in {"{", "["}:
        from vllmlint.hardware.json_stream import json_objects

        objects = json_objects(name, head, pieces)
    else:
        from vllmlint.hardware.yaml_objects import yaml_objects

        objects = yaml_objects(name, head, pieces)
    return _collected(name, objects)


def _collected(name: str, objects: Iterator[tuple[int, Any]]) -> NodesFile:
    nodes: list[Node] = []
    others: list[Mapping[str, Any]] = []
    for line, obj in objects:
        if not isinstance(obj, Mapping):
            raise NodesFileError(f"{name}:{line}: a Kubernetes object is wanted here{_HOW}")
        if obj.get("kind", "Node") != "Node":
            others.append(obj)
            continue
        try:
            nodes.append(node_from_object(obj))
        except NodeError as error:
            raise NodesFileError(f"{name}:{line}: {_called(obj)}{error}") from None
    return NodesFile(tuple(nodes), tuple(others))


def _called(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return f"node {name!r}: " if isinstance(name, str) and name else ""


def joined(files: Iterable[tuple[str, NodesFile]]) -> NodesFile:
    """Several files as one, with each node's resource slices at the node.

    Raises NodesFileError where two files, or one twice, hold a node of the same name, and where no file holds
    a node at all.
    """
    seen: dict[str, str] = {}
    nodes: list[Node] = []
    objects: list[Mapping[str, Any]] = []
    names = []
    for name, file in files:
        names.append(name)
        objects += file.objects
        for node in file.nodes:
            if node.name in seen:
                where = name if seen[node.name] == name else f"{seen[node.name]} and {name}"
                raise NodesFileError(f"{where}: node {node.name!r} is there twice")
            seen[node.name] = name
            nodes.append(node)
    if not nodes:
        raise NodesFileError(f"{', '.join(names)}: no Node is in there{_HOW}")
    return NodesFile(tuple(_with_slices(nodes, objects)), tuple(objects))


def _with_slices(nodes: list[Node], objects: list[Mapping[str, Any]]) -> list[Node]:
    """The nodes with the resource slices that name them; slices that choose their nodes in another way are
    left to whoever knows how."""
    by_node: dict[str, list[Mapping[str, Any]]] = {}
    for obj in objects:
        spec = obj.get("spec")
        name = spec.get("nodeName") if obj.get("kind") == _SLICE and isinstance(spec, Mapping) else None
        if isinstance(name, str):
            by_node.setdefault(name, []).append(obj)
    if not by_node:
        return nodes
    return [
        replace(node, resource_slices=tuple(by_node[node.name])) if node.name in by_node else node
        for node in nodes
    ]
