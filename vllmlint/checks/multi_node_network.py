"""Section multi-node: the network between the pods of a group."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.finding import Finding, Related
from vllmlint.kube.pods import Container
from vllmlint.manifest.nodes import Scalar
from vllmlint.regex import regex
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Resources that hand a container a network card with RDMA: shared device plugin, SR-IOV, InfiniBand.
_RDMA = regex(r"(?:^|/)(?:rdma|ib|infiniband|hca)|rdma/|mlnx|roce", re.IGNORECASE)


def rdma_memlock(server: Server, world: World) -> Iterator[Finding]:
    """An RDMA card without the right to pin memory for it."""
    container = server.container
    card = next(iter(_rdma_resources(container).values()), None)
    if card is None or server.workload.carrier == "other":
        return
    security = container.node.mapping("securityContext")
    added = security.sequence("capabilities", "add") if security is not None else None
    capability = next(
        (
            item
            for item in (added.items if added is not None else ())
            if isinstance(item, Scalar) and item.text.removeprefix("CAP_") in {"IPC_LOCK", "ALL"}
        ),
        None,
    )
    if security is not None and security.flag("privileged"):
        return
    if capability is None:
        yield Finding(
            card.content,
            "the container gets an RDMA card but not the capability IPC_LOCK: unless the node's runtime "
            "lifts the "
            "limit on locked memory, registering buffers fails (ENOMEM) and NCCL falls back to TCP without "
            "an error",
            "Write `securityContext: {capabilities: {add: [IPC_LOCK]}}` on the container.",
            "no IPC_LOCK",
            confidence="medium",
            assumptions=("the container runtime does not set LimitMEMLOCK=infinity",),
        )
        return
    user = _non_root(container, server)
    if user is not None:
        yield Finding(
            capability.content,
            "IPC_LOCK is added, but the container runs as another user than root: a capability that is added "
            "does "
            "not become effective there, so registering buffers fails (ENOMEM) and NCCL falls back to TCP",
            "Lift the limit on locked memory in the node's container runtime (LimitMEMLOCK=infinity), or run "
            "as root.",
            "not effective",
            confidence="medium",
            assumptions=("the container runtime does not set LimitMEMLOCK=infinity",),
            related=(Related(user.content, "not root"),),
        )


def _rdma_resources(container: Container) -> dict[str, Scalar]:
    """The resources of a container that are RDMA cards."""
    both = {**container.resources("requests"), **container.resources("limits")}
    return {name: node for name, node in both.items() if "/" in name and _RDMA.search(name)}


def _non_root(container: Container, server: Server) -> Scalar | None:
    """What says that the container's user is not root; the container's own setting wins over the pod's."""
    for security in (
        container.node.mapping("securityContext"),
        server.workload.spec.mapping("securityContext"),
    ):
        user = security.scalar("runAsUser") if security is not None else None
        if user is not None:
            return None if user.text == "0" else user
        strict = security.scalar("runAsNonRoot") if security is not None else None
        if strict is not None and strict.value is True:
            return strict
    return None
