"""On which nodes the pods of a workload can run, and what stands in the way on the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vllmlint.contract.pools import contract_profiles
from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.profile import NodeProfile
from vllmlint.kube.node import Node
from vllmlint.kube.pods import Workload
from vllmlint.kube.scheduling.admission import refusals
from vllmlint.kube.scheduling.attempt import Attempt
from vllmlint.kube.scheduling.cluster import Cluster
from vllmlint.kube.scheduling.kubelet import check_kubelet
from vllmlint.kube.scheduling.read_pod import NEWEST
from vllmlint.kube.scheduling.records import Answer, Pod, Reason
from vllmlint.manifest.text import Place
from vllmlint.plans.place_objects import devices_of, storage_of
from vllmlint.plans.place_pod import completed_by_others, field_place, pod_of
from vllmlint.record import record, replace
from vllmlint.world import World

Origin = Literal["nodes-file", "contract", "platform", "nothing"]


@record
class PlacedReason:
    """A reason with its places in the manifest: of what causes it, and of what nearly lets the pod in."""

    reason: Reason
    place: Place | None
    near: Place | None = None


@record
class PoolVerdict:
    """Whether nodes of one kind take a pod; `members` are the nodes of it that do, where they differ."""

    profile: NodeProfile
    answer: Answer
    reasons: tuple[PlacedReason, ...] = ()
    members: tuple[str, ...] | None = None
    #: what is taken for granted of a platform's machines, of which pools choose it
    assumptions: tuple[str, ...] = ()


@record
class Placement:
    """Where a workload's pods can run.

    `origin` says where the node kinds are from: real nodes, the contract's pools, or what a platform has for
    the pod's selectors; `nothing`: nothing is known of the nodes. `refused` are reasons why the API server
    does not take the pod at all. `answer` is yes where some pool takes it, no where surely none does.
    """

    workload: Workload
    pod: Pod
    origin: Origin
    pools: tuple[PoolVerdict, ...]
    refused: tuple[PlacedReason, ...] = ()

    @property
    def answer(self) -> Answer:
        """The verdict over all pools."""
        if self.refused:
            return "no"
        answers = {pool.answer for pool in self.pools}
        if "yes" in answers:
            return "yes"
        if "unknown" in answers or not answers:
            return "unknown"
        # the list of a platform's machines need not be complete
        return "no" if self.origin != "platform" else "unknown"

    @property
    def fitting(self) -> tuple[PoolVerdict, ...]:
        """The pools that take the pod."""
        return tuple(pool for pool in self.pools if pool.answer == "yes")

    @property
    def possible(self) -> tuple[PoolVerdict, ...]:
        """The pools that take the pod or may: its candidates."""
        return tuple(pool for pool in self.pools if pool.answer != "no")


def placement_of(workload: Workload, world: World) -> Placement:
    """Where the pods of a workload can run, by all that the run knows of nodes; worked out once."""
    memo = world.memo("placement")
    found: Placement | None = memo.get(id(workload))
    if found is None:
        found = memo[id(workload)] = _place(workload, world)
    return found


def profiles_for(workload: Workload, world: World) -> tuple[Origin, tuple[NodeProfile, ...]]:
    """The kinds of nodes a workload may land on: real ones, else the contract's, else the platform's."""
    view = world.contract_of(workload.object.file.path)
    memo = world.memo("node profiles")
    key = (id(view.contract), world.environment_of(workload.object.file.path))
    if key not in memo:
        pools = contract_profiles(view.contract, view.relative_path) if view.contract.node_pools else ()
        memo[key] = pools
    pools = memo[key]
    if world.nodes is not None:
        real = world.nodes.profiles
        if pools:
            narrowed = memo.get((*key, "real"))
            if narrowed is None:
                from vllmlint.hardware.real_nodes import narrowed_by_pools

                narrowed = memo[(*key, "real")] = tuple(narrowed_by_pools(one, pools) for one in real)
            real = narrowed
        return "nodes-file", real
    if pools:
        return "contract", pools
    return "platform", ()


def _place(workload: Workload, world: World) -> Placement:
    origin, profiles = profiles_for(workload, world)
    if origin == "platform":
        profiles = _platform_profiles(_pod(workload, NEWEST, world))
        origin = "platform" if profiles else "nothing"
    return place_on(workload, origin, profiles, world)


def place_on(
    workload: Workload, origin: Origin, profiles: tuple[NodeProfile, ...], world: World
) -> Placement:
    """Where the pods of a workload could run, had the run these kinds of nodes."""
    cluster = _cluster(origin, profiles, world)
    pod = _pod(workload, cluster.version, world)
    if pod.claims or pod.volumes:
        devices = devices_of(workload, pod, world, cluster.devices)
        storage = storage_of(workload, pod, world, cluster.storage)
        cluster = cluster.with_objects(devices, storage)
    attempt = Attempt(pod, cluster)
    places = _Places(workload)
    gates = cluster.gate("TaintTolerationComparisonOperators")
    refused = tuple(map(places.one, refusals(pod.source, comparisons=gates)))
    pools = tuple(_pool(one, attempt, places) for one in profiles)
    return Placement(workload, pod, origin, pools, refused)


def _pod(workload: Workload, version: tuple[int, int], world: World) -> Pod:
    """The pod of a workload, read once for a cluster of a release."""
    memo = world.memo("pods").setdefault(id(workload), {})
    found: Pod | None = memo.get(version)
    if found is None:
        found = memo[version] = pod_of(workload, version)
    return found


def labels_alone(workload: Workload, world: World) -> dict[str, tuple[str, ...]] | None:
    """The labels that a workload's pods want of a node, where the run knows of no nodes they could be placed
    on; None elsewhere. Far cheaper than a placement, of which only these labels would be left."""
    origin, _ = profiles_for(workload, world)
    if origin != "platform":
        return None
    wanted = wanted_labels(pod_of(workload, NEWEST, fields=("nodeSelector", "affinity")))
    return None if _machines(wanted) else wanted


def _platform_profiles(pod: Pod) -> tuple[NodeProfile, ...]:
    return () if pod.unread else _machines(wanted_labels(pod))


def _machines(wanted: dict[str, tuple[str, ...]]) -> tuple[NodeProfile, ...]:
    if not wanted:
        return ()
    from vllmlint.hardware.platforms import platform_profiles

    return platform_profiles(wanted)


def wanted_labels(pod: Pod) -> dict[str, tuple[str, ...]]:
    """The labels that a node must have, each with the values that will do: of the selector, and of the
    required affinity where it has one term."""
    wanted: dict[str, tuple[str, ...]] = {key: (value,) for key, value in pod.selector.items()}
    terms = pod.node_terms or ()
    for one in terms[0].expressions if len(terms) == 1 else ():
        if one.operator == "In":
            wanted.setdefault(one.key, one.values)
    return wanted


def named_cards(cards: tuple[Gpu, ...], pod: Pod) -> tuple[Gpu, ...]:
    """Those of the cards a pool may have that the pod's own selector lets it land on."""
    if len(cards) < 2 or pod.unread:
        return cards
    from vllmlint.hardware.labels import candidates_of

    told = candidates_of(wanted_labels(pod))
    if told is None or told.certainty == "guess":
        return cards
    ids = {gpu.id for gpu in told.gpus}
    return tuple(card for card in cards if card.id in ids or card.slice_of in ids) or cards


def _cluster(origin: Origin, profiles: tuple[NodeProfile, ...], world: World) -> Cluster:
    """The cluster that the node kinds make up, one for all workloads that share them."""
    memo = world.memo("clusters")
    key = id(profiles) if origin != "platform" else None
    found: tuple[object, Cluster] | None = memo.get(key) if key is not None else None
    if found is None:
        nodes = [one.node for one in profiles]
        versions = {node.kubernetes_version for node in nodes if node.kubernetes_version is not None}
        version = min(versions) if versions else NEWEST
        if origin == "nodes-file" and world.nodes is not None:
            cluster = world.nodes.cluster(nodes, version)
        else:
            cluster = Cluster(nodes, version=version)
        found = (profiles, cluster)
        if key is not None:
            memo[key] = found
    return found[1]


def _pool(profile: NodeProfile, attempt: Attempt, places: _Places) -> PoolVerdict:
    node = profile.node
    if node.count != 1 and len(node.names) > 1 and _tells_apart(node, attempt):
        return _members(profile, attempt, places)
    reasons = (*attempt.reasons(attempt.cluster.state(node)), *_kubelet(profile, attempt))
    return places.verdict(profile, reasons)


def _tells_apart(node: Node, attempt: Attempt) -> bool:
    """Whether the pod's demands, or what runs, can tell the members of a group apart."""
    return (
        attempt.cluster.pods_known
        or attempt.names_nodes
        or bool(attempt.keys & node.varying_labels.keys())
        or any(_between(name, node, attempt) for name in node.varying_amounts)
    )


def _between(name: str, node: Node, attempt: Attempt) -> bool:
    """Whether a request is too much for the smallest member of a group, so that others may still do."""
    ask = attempt.pod.requests.get(name)
    return ask is not None and ask.amount > node.allocatable[name]


def _members(profile: NodeProfile, attempt: Attempt, places: _Places) -> PoolVerdict:
    """The verdict for a group of nodes one by one: yes where one takes the pod, else the nearest miss."""
    found: dict[tuple[Reason, ...], PoolVerdict] = {}
    by_verdict: dict[int, list[str]] = {}
    for member in attempt.cluster.members(profile.node):
        reasons = attempt.reasons(member)
        one = found.get(reasons)
        if one is None:
            one = found[reasons] = places.verdict(profile, reasons)
        by_verdict.setdefault(id(one), []).append(member.name)
    order = {"yes": 0, "unknown": 1, "no": 2}
    best = min(found.values(), key=lambda one: (order[one.answer], len(one.reasons)))
    return replace(best, members=tuple(by_verdict[id(best)])) if best.answer == "yes" else best


class _Places:
    """The reasons of one workload with their places, each worked out once."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._others = completed_by_others(workload)
        self._placed: dict[int, tuple[Reason, PlacedReason]] = {}
        self._lists: dict[tuple[int, ...], tuple[PlacedReason, ...]] = {}

    def verdict(self, profile: NodeProfile, reasons: Sequence[Reason]) -> PoolVerdict:
        """The verdict for a kind of node that follows from the reasons against it."""
        assumptions: tuple[str, ...] = ()
        if profile.origin == "platform":
            assumptions = tuple(_ASSUMED[key] for one in reasons if (key := _chosen_by_pools(one)))
            reasons = [one for one in reasons if _chosen_by_pools(one) is None]
        placed = self.all(reasons)
        answer: Answer = "yes"
        if any(one.reason.answer == "no" for one in placed):
            answer = "no"
        elif placed:
            answer = "unknown"
        return PoolVerdict(profile, answer, placed, None, assumptions if answer == "yes" else ())

    def all(self, reasons: Sequence[Reason]) -> tuple[PlacedReason, ...]:
        """Reasons with their places; the same tuple for the same reasons."""
        key = tuple(map(id, reasons))
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = tuple(map(self.one, reasons))
        return found

    def one(self, reason: Reason) -> PlacedReason:
        """A reason with its places."""
        found = self._placed.get(id(reason))
        if found is None:
            shown = _softened(reason, self._others)
            near = field_place(self.workload, reason.near.route) if reason.near is not None else None
            placed = PlacedReason(shown, field_place(self.workload, reason.route), near)
            # the reason is kept too: another one must not get its number
            found = self._placed[id(reason)] = (reason, placed)
        return found[1]


#: What whoever makes a pool of a platform's machines chooses: the best case is assumed, and said.
_ASSUMED = {
    "taint": "the nodes have no taints but the platform's own",
    "ephemeral-storage": "the nodes' disks are large enough for the ephemeral storage that is asked for",
}


def _chosen_by_pools(one: Reason) -> str | None:
    """The key of an assumption that takes the place of an unknown; None for every other reason."""
    if one.answer != "unknown":
        return None
    if one.code == "taint" and not one.subject:
        return "taint"
    return "ephemeral-storage" if one.code == "resource" and one.subject == "ephemeral-storage" else None


def _softened(one: Reason, others: str) -> Reason:
    """A reason that something the manifest does not show may take away is no longer definite."""
    if not others or one.answer != "no":
        return one
    added = one.code == "taint" and one.near is None
    return replace(one, answer="unknown", detail=f"{one.detail}; {others} may add it") if added else one


def _kubelet(profile: NodeProfile, attempt: Attempt) -> tuple[Reason, ...]:
    """What the kubelet of such nodes refuses: more of a shared GPU than one container may have."""
    gpu = profile.gpu
    if gpu is None or gpu.max_per_container is None:
        return ()
    most = dict.fromkeys(gpu.shared_resources, gpu.max_per_container)
    return tuple(check_kubelet(attempt.pod, profile.node, most))
