"""Section storage: volumes that are made in one zone before the pod has chosen its node."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._hardware import node_labels, pools_for
from vllmlint.finding import Finding, Related
from vllmlint.kube.objects import KubeObject, string_map
from vllmlint.kube.pods import Workload
from vllmlint.manifest.nodes import Scalar
from vllmlint.world import World

#: Provisioners whose volumes belong to one zone: Google's, Amazon's and Azure's disks and Cinder's volumes,
#: by their CSI drivers and their old in-tree names.
_ZONAL = frozenset(
    {
        "pd.csi.storage.gke.io",
        "ebs.csi.aws.com",
        "ebs.csi.eks.amazonaws.com",
        "disk.csi.azure.com",
        "cinder.csi.openstack.org",
        "kubernetes.io/gce-pd",
        "kubernetes.io/aws-ebs",
        "kubernetes.io/azure-disk",
        "kubernetes.io/cinder",
    }
)
#: Parameters of classes whose volumes are in several zones (GKE's regional disks, Azure's ZRS disks).
_SEVERAL_ZONES = ("regional-pd", "hyperdisk-balanced-high-availability", "_zrs")
_ZONE_KEYS = frozenset({"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"})


def pvc_zone_vs_gpu_zone(workload: Workload, world: World) -> Iterator[Finding]:
    """A volume of one zone that is made before the scheduler knows in which zone a GPU is free."""
    servers = [server for server in world.servers_in(workload) if not server.is_simulator]
    gpu = next((gpu for server in servers for gpu in server.gpus if gpu.count != 0), None)
    if gpu is None:
        return
    for volume in workload.volumes.values():
        claim = (
            world.index.named("PersistentVolumeClaim", volume.claim_name, workload.object)
            if volume.claim_name
            else None
        )
        name = claim.node.scalar("spec", "storageClassName") if claim is not None else None
        if claim is None or name is None or claim.node.string("spec", "volumeName"):
            continue
        made = world.index.named("StorageClass", name.text, workload.object)
        if (
            made is None
            or not _binds_at_once(made)
            or not _in_one_zone(made)
            or _zones_agree(made, workload, world)
        ):
            continue
        mode = made.node.scalar("volumeBindingMode")
        related = [Related(gpu.node.content, "the GPU decides the zone")]
        if mode is not None:
            related.insert(0, Related(mode.content, "made at once, in any zone"))
        yield Finding(
            name.content,
            f"{made.title} makes the volume at once, in a zone of its own choice, and the pod then needs a "
            "GPU in that very zone: where none is there it stays Pending (`node(s) didn't match "
            "PersistentVolume's node affinity`)",
            "Write `volumeBindingMode: WaitForFirstConsumer` in the StorageClass: the volume is made where "
            "the pod is placed. Or use a regional disk or a network file system.",
            "bound before the pod is placed",
            confidence="medium",
            assumptions=("the cluster has nodes in several zones",),
            related=tuple(related),
        )
        return


def _binds_at_once(storage_class: KubeObject) -> bool:
    """Whether the class makes volumes before a pod uses them; that is its default."""
    return (storage_class.node.string("volumeBindingMode") or "Immediate") == "Immediate"


def _in_one_zone(storage_class: KubeObject) -> bool:
    parameters = string_map(storage_class.node.at("parameters")).values()
    several = any(word in value.lower() for value in parameters for word in _SEVERAL_ZONES)
    return storage_class.node.string("provisioner") in _ZONAL and not several


def _zones_agree(storage_class: KubeObject, workload: Workload, world: World) -> bool:
    """Whether volumes and pods are kept to one and the same zone."""
    allowed = {
        item.text
        for topology in storage_class.node.mappings("allowedTopologies")
        for expression in topology.mappings("matchLabelExpressions")
        for values in [expression.sequence("values")]
        if values is not None
        for item in values.items
        if isinstance(item, Scalar)
    }
    asked = {label.value for label in node_labels(workload) if label.key in _ZONE_KEYS}
    pools = pools_for(workload, world)
    known = [pool.profile.node.labels.get(key) for pool in pools for key in _ZONE_KEYS]
    zones = asked or {zone for zone in known if zone is not None}
    one_zone = len(zones) == 1 and (bool(asked) or len([zone for zone in known if zone]) == len(pools))
    return one_zone and (not allowed or allowed == zones) and (bool(allowed) or not asked)
