"""Where a container's resources are, or would be, written."""

from __future__ import annotations

from typing import Literal

from vllmlint.finding import where
from vllmlint.kube.pods import Container
from vllmlint.manifest.text import Place


def resources_place(container: Container, section: Literal["limits", "requests"]) -> Place:
    """Where a missing quantity would stand: the key of the section, else `resources`, else the container's
    name."""
    resources = container.node.mapping("resources")
    key = resources.key(section) if resources is not None else None
    return where(key or container.node.key("resources") or container.anchor)
