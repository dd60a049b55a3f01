"""Claims, classes and volumes of the run that decide where a pod can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.kube.plain_data import plain_data
from vllmlint.kube.pods import Workload
from vllmlint.kube.scheduling.cluster import Devices
from vllmlint.kube.scheduling.records import Pod
from vllmlint.kube.scheduling.volumes import Storage
from vllmlint.record import replace
from vllmlint.world import World


def devices_of(workload: Workload, pod: Pod, world: World, known: Devices) -> Devices:
    """What is known of devices, with the claims, templates and classes of the run that the pod sees."""
    space = pod.namespace
    claims, templates = dict(known.claims), dict(known.templates)
    for one in pod.claims:
        for name, kind, found in (
            (one.claim, "ResourceClaim", claims),
            (one.template, "ResourceClaimTemplate", templates),
        ):
            obj = world.index.named(kind, name, workload.object) if name else None
            if obj is not None:
                found[space, name] = plain_data(obj.node)
    classes = dict(known.classes or {})
    for obj in world.index.nearby("DeviceClass", workload.object):
        classes.setdefault(obj.name, plain_data(obj.node))
    has_classes = known.classes is not None or bool(classes)
    return replace(known, claims=claims, templates=templates, classes=classes if has_classes else None)


def storage_of(workload: Workload, pod: Pod, world: World, known: Storage) -> Storage:
    """What is known of volumes, with the claims and volumes of the run that the pod sees."""
    if known.complete:
        return known
    claims: dict[tuple[str, str], Mapping[str, Any]] = dict(known.claims)
    volumes: dict[str, Mapping[str, Any]] = dict(known.volumes)
    for one in pod.volumes:
        claim = world.index.named("PersistentVolumeClaim", one.claim, workload.object)
        if claim is None:
            continue
        claims[pod.namespace, one.claim] = plain_data(claim.node)
        name = claim.node.string("spec", "volumeName")
        volume = world.index.named("PersistentVolume", name, workload.object) if name else None
        if name and volume is not None:
            volumes[name] = plain_data(volume.node)
    return replace(known, claims=claims, volumes=volumes)
