"""Section gpu: GPUs that the device plugin hands to several pods at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from vllmlint.checks._hardware import knows_nodes, node_labels, pools_for
from vllmlint.finding import Finding, Related
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.serving.ranks import ranks_of
from vllmlint.serving.server import GpuRequest, Server
from vllmlint.wording import plural
from vllmlint.world import World

Strategy = Literal["time-slicing", "mps", "unknown"]
#: What NVIDIA's and GKE's labels say of sharing (node_labels.json).
_STRATEGY_LABELS = {
    "nvidia.com/gpu.sharing-strategy": {"time-slicing": "time-slicing", "mps": "mps"},
    "cloud.google.com/gke-gpu-sharing-strategy": {"time-sharing": "time-slicing", "mps": "mps"},
}
_GKE_CLIENTS = "cloud.google.com/gke-max-shared-clients-per-gpu"
_PRODUCT = "nvidia.com/gpu.product"


@record
class Sharing:
    """How the GPUs that a server gets are shared: `text` says what tells so, `place` where it is written.

    `replicas` is the number of shares a GPU is cut into, `most` what one container may have of them; None:
    not known.
    """

    strategy: Strategy
    text: str
    place: Place | None = None
    replicas: int | None = None
    most: int | None = None


def shared_gpu_default_utilization(server: Server, world: World) -> Iterator[Finding]:
    """A server on a time-sliced GPU that takes (nearly) all of its memory."""
    gpu, sharing = _shared(server, world)
    if gpu is None or sharing is None or sharing.strategy == "mps" or not server.arguments_known:
        return
    if server.get("kv_cache_memory_bytes").explicit:
        return
    share = server.get("gpu_memory_utilization")
    if not share.known or not isinstance(share.value, int | float) or share.value * 2 <= 1:
        return
    percent = f"{share.value:.0%}"
    default = "" if share.explicit else f", the default of vLLM {server.release}"
    said = () if sharing.place is None else (Related(sharing.place, "shared"),)
    # a fraction that somebody wrote may be right beside a smaller pod
    yield Finding(
        share.place if share.place is not None else gpu.node.content,
        f"{sharing.text}, and this server takes {percent} of the GPU's whole memory "
        f"(--gpu-memory-utilization {share.value}{default}): time-slicing gives no pod memory of its own, "
        "so a second server stops with `Free memory on device … is less than desired GPU memory utilization`",
        "Write a fraction that leaves the others theirs, such as "
        f"--gpu-memory-utilization={_fair(sharing)}, or --kv-cache-memory-bytes; MIG slices have memory of "
        "their own.",
        "takes the whole GPU" if not share.explicit else f"{percent} of the whole GPU",
        severity="warning" if share.explicit else None,
        confidence="medium",
        assumptions=("another pod that needs GPU memory shares the GPU",),
        related=said if share.place is None else (*said, Related(gpu.node.content, "a share of a GPU")),
    )


def _fair(sharing: Sharing) -> str:
    """An equal part of nearly all the memory, in hundredths."""
    return f"{int(95 / (sharing.replicas or 2)) / 100:.2f}"


def mps_shared_gpu(server: Server, world: World) -> Iterator[Finding]:
    """A server on a GPU that CUDA's multi-process service shares."""
    gpu, sharing = _shared(server, world)
    if gpu is None or sharing is None or sharing.strategy != "mps":
        return
    part = f"1/{sharing.replicas}" if sharing.replicas else "an equal part"
    yield Finding(
        sharing.place if sharing.place is not None else gpu.node.content,
        f"{sharing.text} by MPS: each client gets at most {part} of the memory, while vLLM takes its "
        "fraction of the whole GPU's, and starts are reported to fail with `CUDA-capable device(s) is/are "
        "busy or unavailable`",
        "Use MIG slices or whole GPUs; where MPS is tested, size --gpu-memory-utilization to the client's "
        "part and ignore this rule.",
        "shared by MPS",
        confidence="medium",
        assumptions=("MPS with vLLM was not tested on these nodes",),
        related=(Related(gpu.node.content, "a share of a GPU"),) if sharing.place is not None else (),
    )


def more_than_one_shared_slice(server: Server, world: World) -> Iterator[Finding]:
    """Several shares of GPUs asked for as if they were several GPUs."""
    gpu, sharing = _shared(server, world)
    if gpu is None or sharing is None or gpu.count is None or gpu.count < 2:
        return
    ranks = ranks_of(server)
    several = ranks is not None and ranks.total > 1
    refused = sharing.most is not None and gpu.count > sharing.most
    effect = (
        "the device plugin refuses more than one for a container, so the kubelet fails the pod with "
        "UnexpectedAdmissionError"
        if refused
        else "they may be one card, with one card's memory"
        + (
            ", and two ranks on it stop NCCL with `Duplicate GPU detected`"
            if several
            else ": more shares are neither more memory nor surely more time"
        )
    )
    related = [] if sharing.place is None else [Related(sharing.place, "shared")]
    if ranks is not None and several and ranks.place is not None:
        related.append(Related(ranks.place, f"{plural(ranks.total, 'rank')}, a card each"))
    yield Finding(
        gpu.node.content,
        f"{plural(gpu.count, 'share')} of GPUs are no {plural(gpu.count, 'GPU')}: {sharing.text}, and "
        f"{effect}",
        "Ask for 1 share, or for whole GPUs on nodes that do not share them.",
        "shares, not GPUs",
        severity="error" if refused or several else None,
        confidence="high" if refused else "medium",
        assumptions=() if refused else ("the shares are of one GPU",),
        related=tuple(related),
    )


def _shared(server: Server, world: World) -> tuple[GpuRequest | None, Sharing | None]:
    """The GPUs a server asks for and how they are shared; None where they are not, or nothing tells."""
    gpu = next((one for one in server.gpus if one.accelerator.kind == "cuda" and one.count != 0), None)
    if gpu is None or gpu.resource.startswith("nvidia.com/mig-"):
        return gpu, None
    if "sharing" not in server.memo:
        server.memo["sharing"] = _sharing(server, gpu, world)
    found: Sharing | None = server.memo["sharing"]
    return gpu, found


def _sharing(server: Server, gpu: GpuRequest, world: World) -> Sharing | None:
    from_pools = _of_pools(server, world) if knows_nodes(server.workload, world) else None
    if from_pools is not None:
        return from_pools
    labels = node_labels(server.workload)
    clients = next((one.value for one in labels if one.key == _GKE_CLIENTS), "")
    replicas = int(clients) if clients.isdecimal() and len(clients) < 4 else None
    for label in labels:
        known: dict[str, Strategy] = _STRATEGY_LABELS.get(label.key, {})  # type: ignore[assignment]
        strategy = known.get(label.value)
        if strategy is not None:
            text = "the pod selects nodes that share their GPUs"
            return Sharing(strategy, text, label.node.content, replicas)
        if label.key == _PRODUCT and label.value.endswith("-SHARED"):
            return Sharing("unknown", "the pod selects nodes that share their GPUs", label.node.content)
    if gpu.resource.endswith(".shared"):
        return Sharing("unknown", f"`{gpu.resource}` is a share of a GPU")
    return None


def _of_pools(server: Server, world: World) -> Sharing | None:
    """How the pools share their GPUs that may get the pod: all of them, else nothing is said."""
    pools = pools_for(server.workload, world)
    facts = [pool.profile.gpu for pool in pools if pool.profile.gpu is not None]
    if not facts or not all(one.sharing in {"time-slicing", "mps"} and one.replicas > 1 for one in facts):
        return None
    first = facts[0]
    strategy: Strategy = "mps" if first.sharing == "mps" else "time-slicing"
    name = pools[0].profile.name
    text = f"pool `{name}` shares each GPU between {plural(first.replicas, 'pod')}"
    return Sharing(strategy, text, None, first.replicas, first.max_per_container)
