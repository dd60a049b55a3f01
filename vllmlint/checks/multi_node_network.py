"""Section multi-node: the network between the pods of a group."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._rdma import rdma_resources
from vllmlint.finding import Finding, Related
from vllmlint.kube.pods import Container
from vllmlint.manifest.nodes import Scalar
from vllmlint.serving.server import Server
from vllmlint.world import World


def rdma_memlock(server: Server, world: World) -> Iterator[Finding]:
    """An RDMA card without the right to pin memory for it."""
    container = server.container
    card = next(iter(rdma_resources(container).values()), None)
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
            "lifts the limit on locked memory, registering buffers fails (ENOMEM) and NCCL falls back to "
            "TCP without an error",
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
            "IPC_LOCK is added, but the container runs as another user than root: a capability that is "
            "added does not become effective there, so registering buffers fails (ENOMEM) and NCCL falls "
            "back to TCP",
            "Lift the limit on locked memory in the node's container runtime (LimitMEMLOCK=infinity), or run "
            "as root.",
            "not effective",
            confidence="medium",
            assumptions=("the container runtime does not set LimitMEMLOCK=infinity",),
            related=(Related(user.content, "not root"),),
        )


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
