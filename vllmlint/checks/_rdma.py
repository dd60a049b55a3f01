"""Network cards with RDMA that a container gets."""

from __future__ import annotations

import re

from vllmlint.kube.objects import string_map
from vllmlint.kube.pods import Container
from vllmlint.manifest.nodes import Scalar
from vllmlint.regex import regex
from vllmlint.serving.server import Server

#: Resources that hand a container a network card with RDMA: shared device plugin, SR-IOV, InfiniBand.
_RDMA = regex(r"(?:^|/)(?:rdma|ib|infiniband|hca)|rdma/|mlnx|roce", re.IGNORECASE)
#: Fast networks of clouds that are no RDMA resource by name: EFA, GKE's GPUDirect, SR-IOV.
_FAST = regex(r"(?:^|/)efa\Z|networking\.gke\.io|sriov|gpudirect|\bnic\b", re.IGNORECASE)
#: Annotations that add network interfaces to a pod: Multus, GKE's multi-networking, TCPX and TCPXO.
_NETWORK_ANNOTATION = regex(
    r"k8s\.v1\.cni\.cncf\.io/networks|networking\.gke\.io/|devices\.gke\.io/|tcpx|rdma|nccl", re.IGNORECASE
)


def rdma_resources(container: Container) -> dict[str, Scalar]:
    """The resources of a container that are RDMA cards."""
    both = {**container.resources("requests"), **container.resources("limits")}
    return {name: node for name, node in both.items() if "/" in name and _RDMA.search(name)}


def has_rdma(server: Server) -> bool:
    """Whether the pod gets a fast network: a card's resource, an annotation, a claim, the host's own."""
    workload = server.workload
    if server.has_claims or workload.spec.at("resourceClaims") is not None:
        return True
    if workload.spec.flag("hostNetwork"):
        return True
    annotations = string_map(workload.template.at("metadata", "annotations"))
    if any(_NETWORK_ANNOTATION.search(key) for key in annotations):
        return True
    for container in workload.containers:
        names = {**container.resources("requests"), **container.resources("limits")}
        if rdma_resources(container) or any(_FAST.search(name) for name in names if "/" in name):
            return True
    return False
