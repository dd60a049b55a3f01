"""Files that a ConfigMap of the run puts into a container."""

from __future__ import annotations

from posixpath import normpath

from vllmlint.kube.env import ConfigMapLookup
from vllmlint.kube.pods import Container, Mount
from vllmlint.manifest.nodes import Mapping, Node, Scalar


def mounted_file(container: Container, path: str, config_map: ConfigMapLookup) -> Scalar | None:
    """The text at an absolute `path` in the container, when a ConfigMap of the run puts it there.

    Follows `configMap` and `projected` volumes, `items` and `subPath`.
    """
    if not path.startswith("/"):
        return None
    path = normpath(path)
    mount = container.mount_of(path)
    if mount is None or mount.volume is None:
        return None
    name = _name_in_volume(mount, path)
    for source in _config_map_sources(mount):
        reference = source.string("name")
        found = config_map(reference) if reference is not None else None
        if found is not None and (key := _key(source, name)) in found[1]:
            return found[1][key]
    return None


def _name_in_volume(mount: Mount, path: str) -> str:
    below = path[len(mount.path) :].lstrip("/")
    sub_path = mount.node.string("subPath")
    return "/".join(part for part in (sub_path, below) if part)


def _config_map_sources(mount: Mount) -> list[Mapping]:
    volume = mount.volume
    source: Node | None = volume.source if volume is not None else None
    if volume is None or not isinstance(source, Mapping):
        return []
    if volume.kind == "configMap":
        return [source]
    if volume.kind == "projected":
        return [
            found for entry in source.mappings("sources") if (found := entry.mapping("configMap")) is not None
        ]
    return []


def _key(source: Mapping, name: str) -> str:
    """The key of the ConfigMap behind a file name: `items` may rename it."""
    if source.sequence("items") is None:
        return name
    return next(
        (item.string("key") or "" for item in source.mappings("items") if item.string("path") == name), ""
    )
