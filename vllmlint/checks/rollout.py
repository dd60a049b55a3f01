"""Section rollout: updates that can never end because the old pod holds what the new one waits for."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._groups import group_size
from vllmlint.checks._hardware import gpus_in, pools_for
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Volume, Workload
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.server import GpuRequest
from vllmlint.wording import plural
from vllmlint.world import World

#: maxSurge and maxUnavailable of a Deployment that names none (apps/v1 RollingUpdateDeployment).
_DEFAULT_SHARE = "25%"
_ONE_NODE_MODES = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})
#: Storage classes whose volumes live on one node (new pods are sent there) or are network file systems that
#: any node may mount, whatever the access mode says.
_NO_ATTACH_CLASS = regex(
    r"local|hostpath|host-path|lvm|zfs|nfs|efs|filestore|cephfs|azurefile|azure-file|lustre|gcsfuse|weka|vast"
)
_NODE_KEYS = frozenset({"kubernetes.io/hostname", "metadata.name"})


@record
class _Rolling:
    """A Deployment's rolling update in pods, rounded as the controller does; `place` is what decides it."""

    surge: int
    unavailable: int
    place: Place | None
    label: str

    @property
    def waits(self) -> bool:
        """Whether a new pod must be ready before an old one may go."""
        return self.surge >= 1 and self.unavailable == 0


def pvc_rwo_rolling_update(workload: Workload, world: World) -> Iterator[Finding]:
    """A rolling update whose new pod needs a volume that only the old pod's node may have."""
    if not _serves(workload, world):
        return
    rolling = _rolling_update(workload)
    if rolling is None or not rolling.waits:
        return
    for volume in workload.volumes.values():
        claim_name = volume.source.scalar("claimName") if volume.source is not None else None
        if volume.kind != "persistentVolumeClaim" or claim_name is None:
            continue
        claim = world.index.named("PersistentVolumeClaim", claim_name.text, workload.object)
        if claim is None or not _is_mounted(workload, volume):
            continue
        mode = _one_node_mode(claim)
        if mode is None or (mode.text == "ReadWriteOnce" and _stays_on_one_node(workload, claim)):
            continue
        one_pod = mode.text == "ReadWriteOncePod"
        holder = "pod" if one_pod else "node"
        related = [Related(mode.content, f"one {holder} at a time")]
        if rolling.place is not None:
            related.append(Related(rolling.place, rolling.label))
        yield Finding(
            claim_name.content,
            f"an update starts a new pod before the old one stops, but this volume is {mode.text}: the new "
            f"pod waits for the old {holder} to let go of it and the old pod for the new one to be ready, "
            "so the rollout never ends",
            "Write `strategy: {type: Recreate}`, or `rollingUpdate: {maxSurge: 0, maxUnavailable: 1}`, "
            "or use a ReadWriteMany volume.",
            "held by the old pod" if one_pod else "held by the old pod's node",
            confidence="high" if one_pod else "medium",
            assumptions=() if one_pod else ("the new pod may land on another node",),
            related=tuple(related),
        )


def rollout_surge_needs_spare_gpu(workload: Workload, world: World) -> Iterator[Finding]:
    """A rolling update that needs GPUs for a new pod while the old one keeps its own."""
    gpus = _pod_gpus(workload, world)
    rolling = _rolling_update(workload)
    if not gpus or rolling is None or not rolling.waits:
        return
    counts = [gpu.count for gpu in gpus]
    needed = sum(count for count in counts if count is not None) if None not in counts else None
    free, said = _free_gpus(workload, gpus, world) if needed is not None else (None, "")
    if needed == 0 or (needed is not None and free is not None and free >= needed):
        return
    decided = free is not None
    related = [Related(gpu.node.content, "each new pod needs these too") for gpu in gpus]
    node = workload.replicas_node
    place = rolling.place or (node.content if node is not None else where(workload.object.anchor))
    amount = "GPUs" if needed is None else plural(needed, "GPU")
    starts = f"a rollout starts a new pod with {amount} before an old one stops ({rolling.label})"
    yield Finding(
        place,
        f"{starts}, but {said}: it stays Pending and the rollout never ends"
        if decided
        else f"{starts}: where no GPU is free the new pod stays Pending and the rollout never ends",
        _strategy_advice(workload),
        "needs spare GPUs",
        severity="error" if decided else None,
        confidence="high" if decided else "medium",
        assumptions=() if decided else ("no node has a free GPU of this kind (spareGpus in the contract)",),
        related=tuple(related),
    )


def _free_gpus(workload: Workload, gpus: list[GpuRequest], world: World) -> tuple[int | None, str]:
    """The GPUs that the pools which take a workload have free for a rollout, and that in words; None where
    nothing tells. `spareGpus` of the contract wins over the pools' size less what the run's replicas take."""
    pools = pools_for(workload, world)
    whole = all(gpu.accelerator.whole for gpu in gpus)
    if not pools or not whole:
        return None, ""
    spare = [pool.profile.spare_gpus for pool in pools]
    known = [free for free in spare if free is not None]
    if known and len(known) == len(spare):
        listed = " or ".join(f"{pool.profile.spare_gpus} in `{pool.profile.name}`" for pool in pools)
        return max(known), f"the contract has only {listed} to spare"
    total, names = gpus_in(pools), {pool.profile.name for pool in pools}
    if known or total is None:
        return (max(known), "") if known and max(known) >= sum(gpu.count or 0 for gpu in gpus) else (None, "")
    taken = _taken(workload, names, world)
    text = f"the pools that take it ({', '.join(sorted(names))}) have {plural(total, 'GPU')}"
    return total - taken, f"{text}, and the replicas of this run take {taken}"


def _taken(workload: Workload, names: set[str], world: World) -> int:
    """The GPUs that the run's replicas take of these pools: of every workload that no other pool takes."""
    environment = world.environment_of(workload.object.file.path)
    contract = world.contract(workload.object)
    taken: dict[tuple[str, str | None, str], int] = {}
    for facts in world.files:
        if world.environment_of(facts.file.path) != environment:
            continue
        for one in facts.workloads:
            gpus = _pod_gpus(one, world)
            if not gpus or world.contract(one.object) is not contract:
                continue
            if {pool.profile.name for pool in pools_for(one, world)} - names:
                continue
            # the same object in another directory is a variant of it, not a second one
            key = (one.object.kind, one.object.namespace, f"{one.object.name}/{one.role}")
            pods = (one.replicas or 0) * _group_pods(one)
            taken[key] = max(taken.get(key, 0), pods * sum(gpu.count or 0 for gpu in gpus))
    return sum(taken.values())


def _group_pods(workload: Workload) -> int:
    """The pods that one replica makes from a template."""
    if workload.carrier != "lws":
        return 1
    size = group_size(workload.object) or 1
    return {"leader": 1, "worker": max(size - 1, 0)}.get(workload.role, size)


def _strategy_advice(workload: Workload) -> str:
    if (workload.replicas or 0) > 1:
        return (
            "Write `rollingUpdate: {maxSurge: 0, maxUnavailable: 1}`: a new pod takes the GPUs of an old one."
        )
    return (
        "Write `strategy: {type: Recreate}` (without spare GPUs an update of one replica means a gap), "
        "or state the pool's `spareGpus` in the contract."
    )


def _serves(workload: Workload, world: World) -> bool:
    return any(not server.is_simulator for server in world.servers_in(workload))


def _pod_gpus(workload: Workload, world: World) -> list[GpuRequest]:
    """The accelerators of the servers in one pod."""
    return [gpu for server in world.servers_in(workload) if not server.is_simulator for gpu in server.gpus]


def _rolling_update(workload: Workload) -> _Rolling | None:
    """How a Deployment's update rolls; None for another kind or strategy, or where a placeholder decides."""
    if workload.carrier != "plain" or workload.kind != "Deployment":
        return None
    replicas = workload.replicas
    if not replicas:
        return None
    strategy = workload.object.node.mapping("spec", "strategy")
    kind = strategy.scalar("type") if strategy is not None else None
    if kind is not None and kind.text != "RollingUpdate":
        return None
    limits = strategy.mapping("rollingUpdate") if strategy is not None else None
    surge = _pods(limits, "maxSurge", replicas, up=True)
    unavailable = _pods(limits, "maxUnavailable", replicas, up=False)
    if surge is None or unavailable is None:
        return None
    if surge == 0 and unavailable == 0:
        unavailable = 1  # the controller never lets both be zero (ResolveFenceposts)
    place, label = _deciding_place(workload.object, limits, kind)
    return _Rolling(
        surge, unavailable, place, label or f"by default, with {replicas} replica{'s' * (replicas > 1)}"
    )


def _deciding_place(obj: KubeObject, limits: Mapping | None, kind: Scalar | None) -> tuple[Place | None, str]:
    surge = limits.scalar("maxSurge") if limits is not None else None
    if surge is not None:
        return surge.content, f"maxSurge {surge.text}"
    unavailable = limits.scalar("maxUnavailable") if limits is not None else None
    if unavailable is not None:
        return unavailable.content, f"maxUnavailable {unavailable.text}"
    if kind is not None:
        return kind.content, "type RollingUpdate"
    spec = obj.node.mapping("spec")
    key = spec.key("strategy") if spec is not None else None
    return (key.content, "the default strategy") if key is not None else (None, "")


def _pods(limits: Mapping | None, name: str, replicas: int, *, up: bool) -> int | None:
    """A number or share of pods; shares round up for the surge, down for the unavailable."""
    node = limits.scalar(name) if limits is not None else None
    text = node.text.strip() if node is not None else _DEFAULT_SHARE
    if text.isdigit():
        return int(text)
    if not text.endswith("%") or not text[:-1].isdigit():
        return None
    share = replicas * int(text[:-1])
    return -(-share // 100) if up else share // 100


def _is_mounted(workload: Workload, volume: Volume) -> bool:
    return any(mount.name == volume.name for container in workload.containers for mount in container.mounts)


def _one_node_mode(claim: KubeObject) -> Scalar | None:
    """The access mode that ties a claim to one node or pod; None when another mode does not."""
    modes: Node | None = claim.node.at("spec", "accessModes")
    scalars = (
        [mode for mode in modes.items if isinstance(mode, Scalar)] if isinstance(modes, Sequence) else []
    )
    if not scalars or any(mode.text not in _ONE_NODE_MODES for mode in scalars):
        return None
    return next((mode for mode in scalars if mode.text == "ReadWriteOncePod"), scalars[0])


def _stays_on_one_node(workload: Workload, claim: KubeObject) -> bool:
    """Whether old and new pod share a node, or the storage is not attached to nodes at all."""
    storage_class = claim.node.string("spec", "storageClassName") or ""
    if _NO_ATTACH_CLASS.search(storage_class.lower()) or workload.spec.scalar("nodeName") is not None:
        return True
    selector = workload.spec.mapping("nodeSelector")
    if selector is not None and _NODE_KEYS & set(selector.entries):
        return True
    affinity = workload.spec.mapping("affinity", "nodeAffinity")
    return affinity is not None and any(key in affinity.place.text for key in _NODE_KEYS)
