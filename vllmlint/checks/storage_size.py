"""Section storage: the room that a model's files have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.checks._hub import downloads_from_hub
from vllmlint.checks._load import GIB, KnownSize, known_size
from vllmlint.finding import Finding, Related
from vllmlint.kube.pods import Mount, Workload
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Mapping, Node, Scalar
from vllmlint.regex import regex
from vllmlint.serving.cache_paths import hub_cache
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Storage that does not hold a claim to its size: shared file systems whose claims are only directories, and
#: directories of the node (EFS and NFS provisioners, local-path, hostpath, object stores behind FUSE).
_UNBOUNDED = regex(
    r"efs|nfs|local-path|host-?path|standard-rwx|s3|gcs|fuse|blob|lustre|weka|juice|elastic|manual",
    re.IGNORECASE,
)
#: production-stack helm/templates/pvc.yaml, deployment-vllm-multi.yaml.
_CHART, _CHART_HOME = "production-stack chart", "/data"
#: File systems keep tables and a reserve: ext4 gives away about 5 % less than the volume has.
_FILE_SYSTEM = 1.05


def pvc_too_small(server: Server, world: World) -> Iterator[Finding]:
    """A claim that asks for less than the model's files take."""
    claim = _claim_of_model(server, world)
    if claim is None:
        return
    node, bound = claim
    asked = parse_quantity(node.text.strip())
    if asked is None or not bound:
        return
    size = known_size(server, world)
    if size is None or asked >= size.stored.low * _FILE_SYSTEM:
        return
    surely = asked < size.stored.low
    yield Finding(
        node.content,
        f"the claim asks for {asked / GIB:.4g} GiB, the files of `{server.model.id}` take {size.gib:.4g}: "
        + (
            "the download stops with `No space left on device`"
            if surely
            else "the file system's own share leaves too little, and no second revision ever fits"
        ),
        f"Ask for {_room(size)}Gi or more: room for a second revision, which is downloaded beside the first.",
        f"{size.gib:.4g} GiB of files",
        severity=None if surely else "warning",
        confidence="low" if size.confidence == "low" else "medium",
        assumptions=("the storage class holds a volume to the size that is asked for", *size.assumptions),
        related=_model_related(server, size),
    )


def ephemeral_limit_below_model(server: Server, world: World) -> Iterator[Finding]:
    """A model that is downloaded to the node's disk, beyond what the pod may take of it."""
    if not downloads_from_hub(server):
        return
    cache = hub_cache(server)
    if cache.path is None:
        return
    mount = server.container.mount_of(cache.path)
    for node, allowed in _ephemeral_limits(server, mount):
        size = known_size(server, world)
        if size is None or allowed >= size.stored.low:
            continue
        in_memory = mount is not None and mount.volume is not None and mount.volume.medium == "Memory"
        yield Finding(
            node.content,
            f"`{server.model.id}` is downloaded to `{cache.path}` and takes {size.gib:.4g} GiB there, "
            f"{allowed / GIB:.4g} are allowed: "
            + (
                "the download stops with `No space left on device`"
                if in_memory
                else "the kubelet evicts the pod when the download passes that, and the next begins again"
            ),
            f"Allow {_room(size)}Gi or more, or keep the model in a PersistentVolumeClaim.",
            f"{size.gib:.4g} GiB are downloaded",
            confidence="low" if size.confidence == "low" else "medium" if cache.assumptions else "high",
            assumptions=(*cache.assumptions, *size.assumptions),
            related=_model_related(server, size),
        )
        return


def _ephemeral_limits(server: Server, mount: Mount | None) -> Iterator[tuple[Scalar, float]]:
    """What bounds the files under a mount (None: the container's own file system), with its bytes."""
    volume = mount.volume if mount is not None else None
    if mount is not None and (volume is None or volume.kind != "emptyDir"):
        return
    in_memory = volume is not None and volume.medium == "Memory"
    if volume is not None and volume.source is not None:
        yield from _told(volume.source.scalar("sizeLimit"))
    if in_memory:
        return
    limits = [
        one.resource("limits", "ephemeral-storage")
        for one in server.workload.containers
        if one.role != "init"
    ]
    own = server.container.resource("limits", "ephemeral-storage")
    if own is None:
        return
    if mount is None:
        yield from _told(own)
        return
    # an emptyDir counts against the limits of all containers together (kubelet, pod ephemeral storage limit)
    amounts = [parse_quantity(node.text.strip()) for node in limits if node is not None]
    known = [amount for amount in amounts if amount is not None]
    if len(known) == len(amounts):
        yield own, float(sum(known))


def _told(node: Scalar | None) -> Iterator[tuple[Scalar, float]]:
    amount = parse_quantity(node.text.strip()) if node is not None else None
    if node is not None and amount is not None and amount > 0:
        yield node, float(amount)


def _claim_of_model(server: Server, world: World) -> tuple[Scalar, bool] | None:
    """The size asked for the volume of the model, and whether its storage holds it to that."""
    wrapper = server.wrapper
    if wrapper is not None and wrapper.controller == _CHART:
        return _of_chart(server)
    mount = _mount_of_model(server)
    if mount is None or mount.read_only:
        return None
    return _claimed(mount, server.workload, world)


def _of_chart(server: Server) -> tuple[Scalar, bool] | None:
    """The claim that production-stack's chart makes from `pvcStorage` and mounts at /data, its HF_HOME."""
    values, home = server.workload.template, server.env.get("HF_HOME")
    node = values.scalar("pvcStorage")
    if node is None or server.model.kind != "hub" or home is None or home.value != _CHART_HOME:
        return None
    if any(values.at(name) is not None for name in ("pvcExistingClaimName", "pvcMatchLabels")):
        return None
    name = values.scalar("storageClass")
    return node, name is None or (bool(name.text) and _UNBOUNDED.search(name.text) is None)


def _mount_of_model(server: Server) -> Mount | None:
    """The mount that the model's files lie in, or are downloaded to."""
    if server.model.kind == "path" and server.model.id.startswith("/"):
        return server.container.mount_of(server.model.id)
    if not downloads_from_hub(server):
        return None
    cache = hub_cache(server)
    return server.container.mount_of(cache.path) if cache.path is not None else None


def _claimed(mount: Mount, workload: Workload, world: World) -> tuple[Scalar, bool] | None:
    """The size that the claim behind a mount asks for, and whether its storage holds it to that."""
    volume = mount.volume
    if volume is None:
        return None
    spec: Node | None
    if volume.kind == "volumeClaimTemplate":
        spec = volume.source
    elif volume.kind == "ephemeral" and volume.source is not None:
        spec = volume.source.at("volumeClaimTemplate", "spec")
    else:
        claim = world.claim_of(mount, workload)
        spec = claim.node.at("spec") if claim is not None else None
    if not isinstance(spec, Mapping):
        return None
    node = spec.scalar("resources", "requests", "storage")
    return None if node is None else (node, _is_bound_to_size(spec))


def _is_bound_to_size(spec: Mapping) -> bool:
    """Whether a new volume is made for a claim, by a class that is not known to disregard the size."""
    if spec.string("volumeName") or spec.at("selector") is not None or spec.at("dataSource") is not None:
        return False
    name = spec.scalar("storageClassName")
    return name is None or (bool(name.text) and _UNBOUNDED.search(name.text) is None)


def _room(size: KnownSize) -> int:
    """GiB that hold two revisions, in steps of ten."""
    return -(-int(size.stored.high * 2 / GIB) // 10) * 10 + (10 if size.gib < 1 else 0)


def _model_related(server: Server, size: KnownSize) -> tuple[Related, ...]:
    place = server.model.place
    return (Related(place, f"{size.gib:.4g} GiB"),) if place is not None else ()
