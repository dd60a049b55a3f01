"""A `--config` file that a ConfigMap of the run puts into the container."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from typing import Any

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.reader import read_manifest
from vllmlint.manifest.text import Place


class ConfigFile:
    """The settings in a `--config` file; `scalar` is the ConfigMap's text."""

    def __init__(self, scalar: Scalar) -> None:
        self.scalar = scalar
        documents = read_manifest("", scalar.text.encode("utf-8", "surrogatepass")).documents
        root = documents[0].root if documents else None
        self.root = root if isinstance(root, Mapping) else None

    @property
    def values(self) -> MappingType[str, Any] | None:
        """The content as vLLM's YAML reader gives it; None when it is no mapping."""
        return None if self.root is None else {key: plain(node) for key, node in self.root.entries.items()}

    def place_of(self, name: str, *, key: bool) -> Place:
        """The characters, in the ConfigMap, of a setting's value, or of its key."""
        if self.root is not None:
            for written, node in self.root.entries.items():
                if written.replace("-", "_") == name:
                    about = self.root.keys[written] if key else node
                    content = about.content if isinstance(about, Scalar) else about.place
                    return self.scalar.part(content.start, content.end)
        return self.scalar.place


def plain(node: Node) -> Any:
    """A node as plain Python data."""
    if isinstance(node, Mapping):
        return {key: plain(child) for key, child in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None
