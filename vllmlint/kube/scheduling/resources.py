"""Requests against what a node has left (NodeResourcesFit; `scheduling.md` 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from vllmlint.kube.scheduling.amounts import is_counted, is_extended, shown
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.records import Ask, Pod, Reason, Route

_PLUGIN = "NodeResourcesFit"
_NATIVE = ("cpu", "memory", "ephemeral-storage")
#: The part of a node's capacity that pods surely get, where only the capacity is known. The largest shares
#: kept back are GKE's: a quarter of the first 4 GiB of memory, and of a boot disk half and the eviction
#: threshold's tenth (its documentation of node sizes).
_SURELY_ALLOCATABLE = {"cpu": 0.75, "memory": 0.75, "ephemeral-storage": 0.4}
_KEPT = "how much of it the kubelet keeps for itself is not known"
#: Resources that a scheduler of their own places (`scheduling.md` 6.4): HAMi, Aliyun cGPU.
_OWN_SCHEDULER = frozenset(
    {"nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores", "aliyun.com/gpu-mem"}
)


def check_resources(
    pod: Pod,
    node: NodeState,
    used: Mapping[str, int],
    pods_there: int | None,
    left_to_dra: Callable[[str], bool] = lambda _: False,
) -> Iterator[Reason]:
    """Every resource of which the node has too little.

    `used` are the requests of the pods on the node, `pods_there` their number (None: not known, taken as an
    empty node's). `left_to_dra` says whether a device class serves a name that the node does not advertise.
    """
    slots = node.amount("pods")
    if slots is not None and (pods_there or 0) + 1 > slots:
        fact = f"pods: {slots} allocatable, {pods_there or 0} there"
        yield Reason(
            _PLUGIN, "pods", "no", "pods", (), fact, f"takes no more than {slots} pods", for_good=False
        )
    ordered = [name for name in _NATIVE if name in pod.requests]
    for name in (*ordered, *sorted(pod.requests.keys() - set(_NATIVE) - {"pods"})):
        ask = pod.requests[name]
        if ask.amount <= 0 or not is_counted(name) or left_to_dra(name):
            continue
        if name in _OWN_SCHEDULER:
            yield _unknown(name, ask, "placed by a third-party scheduler, whose answer is not known")
            continue
        has = node.amount(name)
        if has is None:
            yield _unknown(name, ask, f"how much {name} the nodes offer is not known")
        elif ask.amount > has - used.get(name, 0):
            yield _insufficient(name, ask, has, used.get(name, 0), node)
        elif node.at_most(name) and name in _NATIVE and ask.amount > has * _SURELY_ALLOCATABLE[name]:
            detail = f"asks for {shown(name, ask.amount)} of {shown(name, has)}; {_KEPT}"
            yield _unknown(name, ask, detail)
    for route in _unread(pod):
        yield Reason(_PLUGIN, "resource", "unknown", str(route[-1]), route, "", "the quantity cannot be read")


def _unread(pod: Pod) -> Iterator[Route]:
    for route in pod.unread:
        if "resources" in route or "overhead" in route:
            yield route


def _unknown(name: str, ask: Ask, detail: str) -> Reason:
    route = ask.routes[0] if ask.routes else ()
    return Reason(_PLUGIN, "resource", "unknown", name, route, "", detail)


def _insufficient(name: str, ask: Ask, has: int, used: int, node: NodeState) -> Reason:
    asked = f"asks for {shown(name, ask.amount)}"
    if ask.amount > has:
        detail = f"{asked}, the node has {shown(name, has)} in all" if has else f"{asked}, the node has none"
    else:
        detail = f"{asked}, {shown(name, has - used)} of {shown(name, has)} are free"
    fact = f"{name}: {shown(name, has)} allocatable" + (f", {shown(name, used)} used" if used else "")
    if not has and is_extended(name):
        detail += _right_form(name, node)
    route = ask.routes[0] if ask.routes else ()
    return Reason(_PLUGIN, "resource", "no", name, route, fact, detail, for_good=ask.amount > has)


def _right_form(name: str, node: NodeState) -> str:
    """What the node calls its devices, when the pod asks for the same maker's by another name (6.2, 6.3)."""
    maker = name.partition("/")[0]
    offered = [
        f"{other}: {amount}"
        for other, amount in sorted(node.allocatable.items())
        if amount > 0 and other.startswith(f"{maker}/")
    ]
    return f" (it offers {', '.join(offered)})" if offered else ""
