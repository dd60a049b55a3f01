"""Resource claims (DRA) of a container: what they ask for, and where that is written."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container, Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.record import record
from vllmlint.world import World

#: Words in the names of device classes that hand out GPUs: gpu.nvidia.com, mig.nvidia.com, gpu.amd.com.
_GPU_CLASS_WORDS = ("gpu", "mig")


@record
class DeviceRequest:
    """One request of a claim: `count` is None where the scheduler decides (mode `All`, alternatives);
    `count_node` stands where a count is written."""

    name: str
    device_class: str
    count: int | None
    node: Mapping
    count_node: Scalar | None

    @property
    def is_gpu(self) -> bool:
        """Whether the device class is one of GPUs, by its name."""
        words = self.device_class.lower().replace("-", ".").split(".")
        return any(word in words for word in _GPU_CLASS_WORDS)


@record
class ContainerClaim:
    """An entry of `resources.claims` of a container: `request` is empty when it takes all of the claim."""

    name: str
    request: str
    node: Mapping


def claims_of(container: Container) -> Iterator[ContainerClaim]:
    """The claims that a container takes."""
    for entry in container.node.mappings("resources", "claims"):
        yield ContainerClaim(entry.string("name") or "", entry.string("request") or "", entry)


def pod_claim(workload: Workload, name: str) -> Mapping | None:
    """The entry of the pod's `resourceClaims` with a name."""
    return next((one for one in workload.spec.mappings("resourceClaims") if one.string("name") == name), None)


def claim_object(entry: Mapping, workload: Workload, world: World) -> KubeObject | None:
    """The claim, or template of one, behind an entry of `resourceClaims`, when it is in the run."""
    for key, kind in (
        ("resourceClaimTemplateName", "ResourceClaimTemplate"),
        ("resourceClaimName", "ResourceClaim"),
    ):
        name = entry.string(key)
        if name:
            return world.index.named(kind, name, workload.object)
    return None


def requests_of(claim: KubeObject) -> list[DeviceRequest]:
    """The device requests of a claim or of a template, in the shapes of v1beta1 and of v1beta2 and v1."""
    route = ("spec", "spec", "devices") if claim.kind == "ResourceClaimTemplate" else ("spec", "devices")
    devices = claim.node.mapping(*route)
    return [] if devices is None else [_request(entry) for entry in devices.mappings("requests")]


def _request(entry: Mapping) -> DeviceRequest:
    body = entry.mapping("exactly") or entry
    count_node = body.scalar("count")
    count: int | None = 1 if count_node is None else body.integer("count")
    chosen_later = body.string("allocationMode") == "All" or entry.at("firstAvailable") is not None
    if chosen_later or body.flag("adminAccess"):
        count = None
    return DeviceRequest(
        entry.string("name") or "", body.string("deviceClassName") or "", count, entry, count_node
    )
