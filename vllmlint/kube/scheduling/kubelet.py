"""What the kubelet refuses after the scheduler said yes (`scheduling.md` 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vllmlint.kube.node import Node
from vllmlint.kube.scheduling.records import Pod, Reason


def check_kubelet(pod: Pod, node: Node, most_per_container: Mapping[str, int]) -> Iterator[Reason]:
    """A container that asks for more of a shared resource than the device plugin hands to one
    (`failRequestsGreaterThanOne`, 6.3): the pod is bound, and fails with UnexpectedAdmissionError."""
    for name, most in most_per_container.items():
        asked = max((container.get(name, 0) for container in pod.containers), default=0)
        if asked > most and node.allocatable.get(name):
            routes = pod.requests[name].routes
            yield Reason(
                "kubelet",
                "admission",
                "no",
                name,
                routes[0] if routes else (),
                f"the device plugin gives a container at most {most}",
                f"UnexpectedAdmissionError: asks for {asked} of {name}, which is shared; "
                f"the device plugin gives a container at most {most}",
            )
