"""The GPUs and nodes that a pod may get, for the rules about hardware; loaded only where something tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.serving.ranks import counted_gpus
from vllmlint.serving.server import Server
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.hardware.gpu import Gpu
    from vllmlint.kube.pods import Workload
    from vllmlint.plans.place import Placement, PoolVerdict

#: What a finding takes for granted that is about the nodes of `--nodes` as a whole.
NODES_FILE_IS_ALL = "the nodes file holds every node that there may be"
_REQUIRED = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")


@record
class Label:
    """A node label that a pod asks for: `node` are the characters of its value."""

    key: str
    value: str
    node: Scalar


@record
class Card:
    """A GPU that a pod may get: `pool` is None where a label of the pod names the GPU. `sure` holds where
    neither a guess nor an assumption stands behind it."""

    gpu: Gpu
    pool: str | None
    sure: bool


def node_labels(workload: Workload) -> list[Label]:
    """The labels of the pod's node selector, and of a required affinity of one term with one value each."""
    found: list[Label] = []
    selector = workload.spec.mapping("nodeSelector")
    for name, node in selector.entries.items() if selector is not None else ():
        if isinstance(node, Scalar):
            found.append(Label(name, node.text, node))
    required = workload.spec.at(*_REQUIRED)
    terms = list(required.mappings("nodeSelectorTerms")) if isinstance(required, Mapping) else []
    for expression in terms[0].mappings("matchExpressions") if len(terms) == 1 else ():
        values = expression.sequence("values")
        key, items = expression.string("key"), values.items if values is not None else ()
        if key is not None and expression.string("operator") == "In" and len(items) == 1:
            (item,) = items
            if isinstance(item, Scalar):
                found.append(Label(key, item.text, item))
    return found


def cards_of(server: Server, world: World) -> tuple[Card, ...]:
    """Every GPU the server may get; empty where one of the nodes it may land on does not tell its own."""
    if not _tells(server, world):
        return ()
    memo = server.memo.get("cards")
    if memo is None:
        from vllmlint.plans.fit_candidates import gpus_of_server

        found = gpus_of_server(server, world)
        known = all(one.gpu is not None for one in found)
        memo = tuple(
            Card(one.gpu, one.pool, one.confidence == "high")
            for one in found
            if known and one.gpu is not None
        )
        server.memo["cards"] = memo
    cards: tuple[Card, ...] = memo
    return cards


def _tells(server: Server, world: World) -> bool:
    """Whether anything may tell the server's GPU, so that the tables of hardware are worth opening."""
    spec = server.workload.spec
    asks = spec.at("nodeSelector") is not None or spec.at(*_REQUIRED) is not None
    return asks or bool(world.contract(server.object).node_pools)


def knows_nodes(workload: Workload, world: World) -> bool:
    """Whether the run knows nodes of the cluster: pools of the contract, or real ones."""
    return world.nodes is not None or bool(world.contract(workload.object).node_pools)


def placement(workload: Workload, world: World) -> Placement | None:
    """Where the pods can run; None where the run knows no nodes of the cluster."""
    if not knows_nodes(workload, world):
        return None
    from vllmlint.plans.place import placement_of

    return placement_of(workload, world)


def pools_for(workload: Workload, world: World) -> tuple[PoolVerdict, ...]:
    """The pools with GPUs that take the pods, or may; empty where no nodes are known or none takes them."""
    found = placement(workload, world)
    return () if found is None else tuple(one for one in found.possible if one.profile.gpu is not None)


def gpu_choice_place(server: Server, gpu_ids: frozenset[str] | None = None) -> Place | None:
    """The characters that choose the GPU: the label of the pod that names it, else its device request."""
    from vllmlint.hardware.labels import label_meaning

    for label in node_labels(server.workload):
        meaning = label_meaning(label.key, label.value)
        if (
            meaning is not None
            and meaning.gpus is not None
            and (gpu_ids is None or gpu_ids & set(meaning.gpus))
        ):
            return label.node.content
    return server.gpus[0].node.content if server.gpus else None


def stranded_gpus(server: Server, world: World) -> tuple[str, int, int] | None:
    """The pool whose nodes a server's pods do not fill, the GPUs of such a node, and how many stay over when
    it holds as many of the pods as it can; None where some pool is filled, or is not known."""
    if len(world.servers_in(server.workload)) != 1 or not counted_gpus(server):
        return None
    count = server.gpu_count
    pools = pools_for(server.workload, world)
    if not count or not pools:
        return None
    found = None
    for pool in pools:
        facts = pool.profile.gpu
        if facts is None or facts.devices is None or facts.sharing != "none" or facts.devices < count:
            return None
        left = facts.devices % count
        if left == 0:
            return None
        found = found or (pool.profile.name, facts.devices, left)
    return found


def gpus_in(pools: tuple[PoolVerdict, ...]) -> int | None:
    """The whole GPUs of all nodes of some pools; None where one does not tell, or shares them."""
    total = 0
    for pool in pools:
        facts, count = pool.profile.gpu, pool.profile.node.count
        if pool.members is not None:
            count = len(pool.members)
        if facts is None or facts.devices is None or count is None or facts.sharing != "none":
            return None
        total += facts.devices * count
    return total
