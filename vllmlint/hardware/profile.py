"""A node, or a pool of nodes, with the GPUs in it: what placement and the memory plan ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Literal

from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import mig_slice
from vllmlint.kube.node import Node
from vllmlint.record import record

#: Which resource hands out the GPUs of a vendor (gpus.json of the research, `k8s_resources`); Intel's cards
#: have one for each kernel driver, so their name tells nothing.
_RESOURCES = {
    "nvidia": "nvidia.com/gpu",
    "amd": "amd.com/gpu",
    "google": "google.com/tpu",
    "aws": "aws.amazon.com/neuron",
    "qualcomm": "qualcomm.com/qaic",
}
_GAUDI = "habana.ai/gaudi"
MIG_PREFIX = "nvidia.com/mig-"
SHARED_SUFFIX = ".shared"
#: How the names of each vendor's devices begin, whole ones and parts.
DEVICE_PREFIXES = (
    "nvidia.com/gpu",
    MIG_PREFIX,
    "amd.com/",
    "gpu.intel.com/",
    "habana.ai/",
    "google.com/tpu",
    "aws.amazon.com/neuron",
    "qualcomm.com/qaic",
)
#: What the NVIDIA and AMD plugins and others advertise for whole devices, or for what stands for them.
WHOLE_DEVICES = (*_RESOURCES.values(), _GAUDI, "gpu.intel.com/i915", "gpu.intel.com/xe")


@record
class GpuFacts:
    """The GPUs of a node.

    `candidates` are the cards it may have (the slices, where every GPU is cut alike and `mig_strategy` is
    `single`); `certainty` says how that is known. `resource` hands out whole GPUs, or what stands for them;
    None: not known. `devices` is how many there are before sharing multiplies them by `replicas`; `renamed`:
    shares go by the resource's name with `.shared` behind it.
    `mig_profiles` counts the node's slices by profile. `max_per_container`: what the device plugin lets one
    container have (`failRequestsGreaterThanOne`). `driver` and `cuda` are versions as the node states them.
    """

    candidates: tuple[Gpu, ...]
    certainty: Literal["stated", "exact", "likely", "guess", "unknown"]
    resource: str | None = None
    devices: int | None = None
    sharing: Literal["none", "time-slicing", "mps", "unknown"] = "none"
    replicas: int = 1
    renamed: bool = False
    mig_strategy: Literal["none", "single", "mixed", "unknown"] = "none"
    mig_profiles: Mapping[str, int] = field(default_factory=dict)
    max_per_container: int | None = None
    driver: str | None = None
    cuda: str | None = None

    @property
    def shared_resources(self) -> tuple[str, ...]:
        """The names of the resources that hand out shares, where devices are shared."""
        if self.sharing == "none":
            return ()
        suffix = SHARED_SUFFIX if self.renamed else ""
        if self.mig_strategy == "mixed":
            names = [f"{MIG_PREFIX}{name.replace('+', '.')}" for name in self.mig_profiles]
        else:
            names = [] if self.resource is None else [self.resource]
        return tuple(f"{name}{suffix}" for name in names)

    @property
    def one(self) -> Gpu | None:
        """The GPU where only one is possible."""
        return self.candidates[0] if len(self.candidates) == 1 else None


@record
class NodeProfile:
    """A kind of node: what the scheduler sees of it (`node`) and which GPUs are inside.

    `gpu` is None where the node is known to have none, or nothing tells. `spare_gpus` are free for a
    rollout's surplus pods (None: not known). `source` says where the profile is from, for people.
    """

    name: str
    node: Node
    origin: Literal["contract", "nodes-file", "platform"]
    gpu: GpuFacts | None = None
    platform: str | None = None
    spare_gpus: int | None = None
    source: str = ""

    def gpus_for(self, resource: str) -> tuple[Gpu, ...]:
        """The GPUs that one unit of a resource may be on this node; empty where nothing tells."""
        if self.gpu is None:
            return ()
        name = resource.removesuffix(SHARED_SUFFIX)
        if name.startswith(MIG_PREFIX):
            return slices_of(self.gpu.candidates, name.removeprefix(MIG_PREFIX))
        return (
            self.gpu.candidates
            if name == whole_resource(self.gpu.candidates) or name == self.gpu.resource
            else ()
        )


def slices_of(cards: Iterable[Gpu], profile: str) -> tuple[Gpu, ...]:
    """The MIG slices that a profile makes of each card that has it."""
    slices = (card if card.mig_profile == profile else mig_slice(card, profile) for card in cards)
    return tuple(one for one in slices if one is not None)


def whole_resource(cards: Iterable[Gpu]) -> str | None:
    """The extended resource that hands out whole cards; None where they have several or none is known."""
    names = {_GAUDI if card.id.startswith("intel-gaudi") else _RESOURCES.get(card.vendor) for card in cards}
    return names.pop() if len(names) == 1 else None


def product_labels(cards: Iterable[Gpu], *, mig: str | None, shared: bool) -> tuple[str, ...]:
    """What `nvidia.com/gpu.product` may say on a node with these cards (scheduling.md 6.2, 6.3): `mig` is the
    profile of a `single` strategy, `shared` holds where replicas keep the resource's name."""
    suffix = (f"-MIG-{mig}" if mig else "") + ("-SHARED" if shared else "")
    return tuple(dict.fromkeys(f"{product}{suffix}" for card in cards for product in card.products))
