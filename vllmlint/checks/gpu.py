"""Section gpu: whether the server's container gets the GPUs it needs, and only those."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

from vllmlint.checks._cpu import is_cpu_build
from vllmlint.checks._resources import resources_place
from vllmlint.facts.accelerators import accelerator_of
from vllmlint.facts.images import image_facts
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import string_map
from vllmlint.kube.pods import Container, Workload
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.ranks import ranks_of
from vllmlint.serving.server import Server
from vllmlint.severity import Confidence
from vllmlint.wording import plural
from vllmlint.world import World

#: Words in an image reference of vLLM builds that want no CUDA or ROCm device.
_OTHER_BUILD = regex(
    r"(?:^|[-_./:])(?:cpu|tpu|hpu|gaudi\d?|neuron\w*|inf2|trn\d|spyre|xpu|openvino|s390x|ppc64le|ascend|npu|sim)"
    r"(?=[-_./:]|\d|\Z)",
    re.IGNORECASE,
)
_ROCM_BUILD = regex(r"rocm", re.IGNORECASE)
#: Repositories whose images are CUDA builds: vLLM's own (and mirrors of it), LMCache's, NVIDIA's, llm-d's.
_CUDA_BUILD = regex(r"(?:^|/)vllm-openai(?:-ubi\d*|-nonroot)?\Z|\Anvcr\.io/nvidia/|cuda", re.IGNORECASE)
#: Variables that only the CPU build reads (vllm/envs.py).
_CPU_VARIABLES = ("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND")
#: Values of NVIDIA_VISIBLE_DEVICES that take GPUs away instead of adding some (NVIDIA container toolkit).
_NO_DEVICES = frozenset({"", "none", "void"})

Build = Literal["cuda", "rocm"]
#: What a kind of device is called in messages.
_DEVICE_NAMES = {"cuda": "NVIDIA GPU", "rocm": "AMD GPU"}


def gpu_not_requested(server: Server, world: World) -> Iterator[Finding]:
    """A CUDA or ROCm server in a container that asks for no accelerator at all."""
    build, certain = _gpu_build(server)
    if build is None or server.gpus or _gets_gpus_otherwise(server) or _holders(server.workload, world):
        return
    resource = "amd.com/gpu" if build == "rocm" else "nvidia.com/gpu"
    ranks = ranks_of(server)
    count = ranks.total if ranks is not None else 1
    override = server.env.get("NVIDIA_VISIBLE_DEVICES")
    extra = " and remove NVIDIA_VISIBLE_DEVICES" if override is not None else ""
    overlay = _may_be_patched(server, world)
    confidence: Confidence = "low" if overlay else "high" if certain and server.arguments_known else "medium"
    yield Finding(
        resources_place(server.container, "limits"),
        f"the container asks for no GPU, but its image is a {'ROCm' if build == 'rocm' else 'CUDA'} build "
        "of vLLM: without a device it stops with `Failed to infer device type`, and where the node's "
        "default runtime shows GPUs to every pod it takes those of other pods",
        f"Write `resources: {{limits: {{{resource}: {count}}}}}` on this container{extra}; "
        "for inference on CPU use the image vllm/vllm-openai-cpu.",
        "no GPU here",
        confidence=confidence,
        assumptions=("no kustomize overlay adds the GPU",) if overlay else (),
        related=_image_note(server),
    )


def gpu_request_limit_mismatch(workload: Workload, world: World) -> Iterator[Finding]:
    """A device resource whose request differs from its limit, or that has no limit."""
    if not _serves(workload, world):
        return
    for container in workload.containers:
        limits = container.resources("limits")
        for name, request in container.resources("requests").items():
            if accelerator_of(name) is None:
                continue
            limit = limits.get(name)
            if limit is not None:
                asked, most = parse_quantity(request.text.strip()), parse_quantity(limit.text.strip())
                if asked is None or most is None or asked == most:
                    continue
                yield Finding(
                    request.content,
                    f"the request of {request.text} `{name}` differs from the limit of {limit.text}: "
                    "devices cannot be overcommitted, so the API server refuses the pod",
                    f"Remove the request (it then equals the limit), or write `{name}: {limit.text}` in "
                    "both.",
                    f"limit is {limit.text}",
                    related=(Related(limit.content, "the limit"),),
                )
            elif workload.carrier != "other" and _is_quantity(request):
                yield Finding(
                    _key_place(container, "requests", name),
                    f"`{name}` stands in requests but not in limits: Kubernetes wants a limit for every "
                    "device, so the API server refuses the pod",
                    f"Write `{name}: {request.text}` under limits; the request may then go.",
                    "no limit",
                )


def gpu_quantity_not_integer(workload: Workload, world: World) -> Iterator[Finding]:
    """A device count that is no whole number, or zero devices for a GPU build of vLLM."""
    servers = _serves(workload, world)
    for container in workload.containers if servers else ():
        server = next((one for one in servers if one.container is container), None)
        needs_gpu = (
            server is not None and _gpu_build(server)[0] is not None and not _gets_gpus_otherwise(server)
        )
        for name, node in _device_quantities(container).items():
            amount = parse_quantity(node.text.strip())
            if amount is None:
                continue
            if amount < 0 or not float(amount).is_integer():
                yield Finding(
                    node.content,
                    f"`{node.text}` of `{name}` is no whole number: devices cannot be split, so the API "
                    "server refuses the pod",
                    "Ask for whole devices. Parts of a GPU come from MIG (`nvidia.com/mig-…: 1`) or from "
                    "time-slicing, where each unit is one share.",
                    "not a whole device",
                )
            elif amount == 0 and needs_gpu and not _other_devices(container, name):
                yield Finding(
                    node.content,
                    f"the server asks for 0 `{name}`, but its image is a GPU build of vLLM: without a "
                    "device it stops at start with `Failed to infer device type`",
                    "Ask for at least 1, or use the image vllm/vllm-openai-cpu.",
                    "no GPU",
                )


def gpu_on_wrong_container(server: Server, world: World) -> Iterator[Finding]:
    """The pod asks for a GPU on a container that is not the server."""
    if server.gpus or _gets_gpus_otherwise(server) or _is_other_build(server):
        return
    holders = _holders(server.workload, world)
    if not holders or any(one.gpus for one in _serves(server.workload, world)):
        return
    holder = holders[0]
    name, node = next((n, q) for n, q in _device_quantities(holder).items() if _is_positive(q))
    known = _gpu_build(server)[0] is not None
    kind = "init container" if holder.role == "init" else "container"
    yield Finding(
        _key_place(holder, "limits" if holder.resource("limits", name) is node else "requests", name),
        f"`{name}` is given to the {kind} `{holder.name}`, not to the server's container "
        f"`{server.container.name}`: devices belong to one container, so vLLM sees no GPU and stops at start",
        f"Move `{name}: {node.text}` to resources.limits of the container `{server.container.name}`.",
        f"goes to `{holder.name}`",
        confidence="high" if known else "medium",
        related=(Related(server.anchor, "the server gets none"),),
    )


def nvidia_visible_devices_override(server: Server, world: World) -> Iterator[Finding]:
    """NVIDIA_VISIBLE_DEVICES set by hand, past what the device plugin allots."""
    variable = server.env.get("NVIDIA_VISIBLE_DEVICES")
    if variable is None or variable.value is None or variable.value.strip().lower() in _NO_DEVICES:
        return
    node = variable.value_node if variable.source == "value" and variable.value_node else variable.name_node
    in_file = node.source is server.container.node.source
    gpus = tuple(Related(gpu.node.content, "what Kubernetes allots") for gpu in server.gpus)
    what = "every GPU of the node" if variable.value.strip() == "all" else "GPUs by their number on the node"
    yield Finding(
        node.content if in_file else server.anchor,
        f"NVIDIA_VISIBLE_DEVICES `{variable.value}` asks the runtime for {what}, past the GPUs that "
        "Kubernetes allots: two pods then share a GPU without knowing, and both run out of its memory",
        "Delete the variable; `nvidia.com/gpu` under resources.limits alone decides which GPUs the "
        "container sees.",
        "overrides the device plugin",
        confidence="medium" if gpus else "high",
        assumptions=("the device plugin hands out GPUs by environment variable, its default",)
        if gpus
        else (),
        related=gpus,
    )


def image_vendor_mismatch(server: Server, world: World) -> Iterator[Finding]:
    """An image built for other devices than the container asks for."""
    kinds = {gpu.accelerator.kind for gpu in server.gpus if gpu.count != 0}
    if len(kinds) != 1 or server.image is None or server.image.unresolved:
        return
    (kind,) = kinds
    if kind not in _DEVICE_NAMES:
        return
    build, certain = _gpu_build(server)
    for_cpu = build is None and is_cpu_build(server)
    if not for_cpu and (build is None or not certain or build == kind):
        return
    wanted = "the CPU" if for_cpu else f"a {'ROCm' if build == 'rocm' else 'CUDA'} device"
    effect = (
        "vLLM runs on the CPU while the device stays idle" if for_cpu else "vLLM finds no device and stops"
    )
    fitting = "vllm/vllm-openai-rocm" if kind == "rocm" else "vllm/vllm-openai"
    gpu = server.gpus[0]
    yield Finding(
        server.image.node.content,
        f"the image is built for {wanted}, but the container asks for `{gpu.resource}`: {effect}",
        f"Use a build for it, such as {fitting}, or ask for the device that the image is for.",
        f"built for {wanted}",
        related=(Related(gpu.node.content, f"an {_DEVICE_NAMES[kind]}"),),
    )


def _serves(workload: Workload, world: World) -> list[Server]:
    return [server for server in world.servers_in(workload) if not server.is_simulator]


def _device_quantities(container: Container) -> dict[str, Scalar]:
    """The devices a container asks for: resource names to quantities, limits before requests."""
    both = {**container.resources("requests"), **container.resources("limits")}
    return {name: node for name, node in both.items() if accelerator_of(name) is not None}


def _holders(workload: Workload, world: World) -> list[Container]:
    """Containers of the pod that get devices, main containers first."""
    return [
        one
        for one in workload.containers
        if any(_is_positive(node) for node in _device_quantities(one).values())
    ]


def _other_devices(container: Container, name: str) -> bool:
    return any(other != name and _is_positive(node) for other, node in _device_quantities(container).items())


def _is_positive(node: Scalar) -> bool:
    """Whether a quantity asks for a device; a placeholder counts as one."""
    amount = parse_quantity(node.text.strip())
    return amount is None or amount > 0


def _is_quantity(node: Scalar) -> bool:
    return parse_quantity(node.text.strip()) is not None


def _gpu_build(server: Server) -> tuple[Build | None, bool]:
    """The kind of GPU that the image's vLLM needs, and whether its name alone tells so."""
    if server.image is None or server.image.unresolved or _is_other_build(server):
        return None, False
    name = server.image.full_repository
    if _ROCM_BUILD.search(server.image.reference):
        return "rocm", True
    if _CUDA_BUILD.search(name):
        return "cuda", True
    speaks_of_gpus = server.get("gpu_memory_utilization").explicit or "NVIDIA_VISIBLE_DEVICES" in server.env
    return ("cuda", False) if speaks_of_gpus and image_facts(name) is not None else (None, False)


def _is_other_build(server: Server) -> bool:
    """Whether vLLM runs without CUDA or ROCm here: another build's image, or told to use another device."""
    if server.image is not None and _OTHER_BUILD.search(server.image.reference):
        return True
    target = server.env.get("VLLM_TARGET_DEVICE")
    if target is not None and target.value not in {"cuda", "rocm", ""}:
        return True
    if any(name in server.env for name in _CPU_VARIABLES):
        return True
    # releases up to 0.9.2 take `--device`; read as words, for a release without it keeps no setting
    words = [word.text or "" for word in server.invocation.words]
    devices = [second for first, second in pairwise(words) if first == "--device"]
    devices += [word.partition("=")[2] for word in words if word.startswith("--device=")]
    return any(device not in {"cuda", "auto", ""} for device in devices)


def _gets_gpus_otherwise(server: Server) -> bool:
    """Whether devices come by another way than the container's resources, or are not needed here."""
    workload = server.workload
    if workload.carrier == "other" or server.has_claims or workload.spec.at("resourceClaims") is not None:
        return True
    annotations = string_map(workload.template.at("metadata", "annotations"))
    labels = workload.labels
    # fractional schedulers (Run:ai, KAI, cGPU) read the share from annotations or labels
    if any("gpu" in key.lower() or "runai" in key.lower() for key in (*annotations, *labels)):
        return True
    backend = server.get("distributed_executor_backend")
    no_local_ranks = server.get("data_parallel_size_local")
    return (backend.explicit and backend.value == "ray") or (
        no_local_ranks.explicit and no_local_ranks.value == 0
    )


def _may_be_patched(server: Server, world: World) -> bool:
    """Whether the file looks like a kustomize base, to which an overlay may add the GPU."""
    path = PurePosixPath(server.object.file.path)
    if {"base", "bases"} & set(path.parts):
        return True
    names = ("kustomization.yaml", "kustomization.yml", "Kustomization")
    return any(str(path.parent / name) in world.paths for name in names)


def _image_note(server: Server) -> tuple[Related, ...]:
    ranks = ranks_of(server)
    if ranks is not None and ranks.total > 1 and ranks.place is not None:
        return (Related(ranks.place, f"needs {plural(ranks.total, 'GPU')}"),)
    image = server.image
    return (Related(image.node.content, "a GPU build of vLLM"),) if image is not None else ()


def _key_place(container: Container, section: str, name: str) -> Place:
    quantities = container.node.at("resources", section)
    key = quantities.key(name) if isinstance(quantities, Mapping) else None
    return where(key or container.anchor)
