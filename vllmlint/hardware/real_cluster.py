"""Real nodes of a run with what else is known of their cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vllmlint.hardware.nodes_file import NodesFile
from vllmlint.hardware.real_nodes import node_profiles
from vllmlint.kube.node import Node
from vllmlint.kube.scheduling.cluster import Cluster, read_cluster

#: Kinds of other objects in a file of nodes, and the lists of a cluster that they stand in.
_LISTS = {
    "Pod": "pods",
    "ResourceSlice": "slices",
    "ResourceClaim": "claims",
    "ResourceClaimTemplate": "templates",
    "DeviceClass": "deviceClasses",
    "DeviceTaintRule": "deviceTaintRules",
    "PersistentVolumeClaim": "persistentVolumeClaims",
    "PersistentVolume": "persistentVolumes",
    "StorageClass": "storageClasses",
    "Namespace": "namespaces",
}


class RealNodes:
    """The nodes of `--nodes` files as profiles, equal nodes as one, and the other objects of those files.

    What a file has none of at all is not known: without a Pod in it, nodes count as empty.
    """

    def __init__(self, file: NodesFile, source: str) -> None:
        self.source = source
        self.profiles = node_profiles(file.nodes, source)
        self._lists: dict[str, list[Mapping[str, Any]]] = {}
        for obj in file.objects:
            name = _LISTS.get(str(obj.get("kind")))
            if name is not None:
                self._lists.setdefault(name, []).append(obj)

    def cluster(self, nodes: Iterable[Node], version: tuple[int, int]) -> Cluster:
        """The cluster of these nodes (the profiles' own, or narrowed ones) at a release."""
        lists = self._lists
        whole = read_cluster({**lists, "version": ".".join(map(str, version))})
        pods_known = "pods" in lists
        storage_known = pods_known and "persistentVolumeClaims" in lists
        return Cluster(
            # what runs on a node is its own: equal nodes are no longer equal
            (member for node in nodes for member in node.members()) if pods_known else nodes,
            whole.pods if pods_known else None,
            storage=whole.storage if storage_known else None,
            devices=whole.known_devices(slices="slices" in lists, classes="deviceClasses" in lists),
            namespaces=whole.namespaces,
            version=version,
        )
