"""Host ports (NodePorts)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vllmlint.kube.scheduling.records import HostPort, Pod, Reason

_ANY = "0.0.0.0"


def conflicts(one: HostPort, other: HostPort) -> bool:
    """Whether two ports cannot both be taken: same port and protocol, and one address covers the other."""
    if one.port != other.port or one.protocol != other.protocol:
        return False
    return one.ip == other.ip or _ANY in {one.ip, other.ip}


def check_ports(pod: Pod, taken: Iterable[HostPort]) -> Iterator[Reason]:
    """Every host port of the pod that a pod on the node has."""
    there = list(taken) if pod.ports else []
    for port in pod.ports:
        if any(conflicts(port, other) for other in there):
            fact = f"{port.protocol} port {port.port} is taken"
            detail = f"host port {port.port} is taken by a pod on the node"
            yield Reason("NodePorts", "ports", "no", str(port.port), port.route, fact, detail, for_good=False)
