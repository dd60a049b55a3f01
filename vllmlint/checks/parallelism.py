"""Section parallelism: GPU processes against the GPUs the container gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vllmlint.checks.scheduling import selects_gpu_class, shares_gpus
from vllmlint.finding import Finding, Related
from vllmlint.kube.objects import string_map
from vllmlint.manifest.text import Place
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.server import GpuRequest, Server
from vllmlint.world import World

#: Devices that CUDA or HIP counts one by one, so that vLLM's world size can be held against their number.
#: A TPU, Neuron, Gaudi or Ascend unit may hold several devices, or one process may drive several of them.
_COUNTED_KINDS = frozenset({"cuda", "rocm"})
#: Programs that spread one server over several pods or processes of their own.
_SPREADERS = re.compile(r"(?<![\w./-])(?:ray|torchrun|mpirun|srun)(?![\w-])|multi-node-serving")
#: What else in a script may use the GPUs beside the server.
_ENGINES = re.compile(r"vllm|api_server|sglang|python|lmcache|mooncake|nixl")


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of the world size: `name` as in messages, `size`, the characters of its value if written."""

    name: str
    flag: str
    size: int
    place: Place | None


@dataclass(frozen=True, slots=True)
class Ranks:
    """The GPU processes of one server.

    `engine` is the world size of one engine (tensor × pipeline × prefill context parallel), `engines` the
    data parallel engines in this container, `factors` what they come from, the largest first.
    """

    engine: int
    engines: int
    factors: tuple[Factor, ...]

    @property
    def total(self) -> int:
        """GPUs that the processes of this container use."""
        return self.engine * self.engines

    @property
    def place(self) -> Place | None:
        """The value of the largest factor that is written."""
        return next((factor.place for factor in self.factors if factor.place is not None), None)

    @property
    def text(self) -> str:
        """The product in words: `tensor parallel 4 × pipeline parallel 2`."""
        factors = [factor for factor in self.factors if factor.size > 1]
        if not factors:
            tensor = next(factor for factor in self.factors if factor.flag == "tensor_parallel_size")
            return f"tensor parallel size 1{'' if tensor.place is not None else ', the default'}"
        return " × ".join(f"{factor.name} {factor.size}" for factor in factors)


def ranks_of(server: Server) -> Ranks | None:
    """The GPU processes of a server; None when the manifest does not decide them.

    The sizes count for all pods of a server that spreads over several. Source: vLLM 0.33.0
    vllm/config/parallel.py, where world_size is pipeline × tensor × prefill context parallel size.
    """
    sizes = (
        ("tensor parallel", "tensor_parallel_size"),
        ("pipeline parallel", "pipeline_parallel_size"),
        ("prefill context parallel", "prefill_context_parallel_size"),
    )
    factors = []
    for name, flag in sizes:
        value = server.get(flag)
        # a release that does not know the flag has no such processes: its default is None
        if not value.known or not isinstance(value.value, int | None) or isinstance(value.value, bool):
            return None
        factors.append(Factor(name, flag, value.value or 1, value.place))
    engine = factors[0].size * factors[1].size * factors[2].size
    data = _data_parallel(server)
    if data is None:
        return None
    factors.append(data)
    return Ranks(engine, data.size, tuple(sorted(factors, key=lambda factor: -factor.size)))


def runs_in_one_pod(server: Server) -> bool:
    """Whether all ranks of a server run in its container, so that its GPUs are all there are."""
    if (
        server.is_multi_node
        or server.get("data_parallel_backend").value == "ray"
        or "RAY_ADDRESS" in server.env
    ):
        return False
    for container in server.workload.containers:
        words = [*(container.command or ()), *(container.args or ())]
        if any(_SPREADERS.search(word.text) for word in words):
            return False
    return True


def world_size_exceeds_gpus(server: Server, world: World) -> Iterator[Finding]:
    """More GPU processes than GPUs in a server that has one pod to itself."""
    ranks, gpus = ranks_of(server), counted_gpus(server)
    if ranks is None or not gpus or not runs_in_one_pod(server):
        return
    count = sum(gpu.count or 0 for gpu in gpus)
    if count == 0 or ranks.total <= count or ranks.place is None:
        return
    resource = gpus[0].resource
    yield Finding(
        ranks.place,
        f"vLLM starts {plural(ranks.total, 'GPU process', 'es')} ({ranks.text}) but the container gets "
        f"{plural(count, 'GPU')}: {_refusal(server, ranks, count)}",
        f"Write `{resource}: {ranks.total}` under resources.limits, or lower {_flags(ranks)} so that the "
        f"product is {count}.",
        f"needs {plural(ranks.total, 'GPU')}",
        related=tuple(Related(gpu.node.content, f"gets {plural(count, 'GPU')}") for gpu in gpus[:1]),
    )


def gpus_left_idle(server: Server, world: World) -> Iterator[Finding]:
    """GPUs that the container reserves and no process of the server uses."""
    ranks, gpus = ranks_of(server), counted_gpus(server)
    if ranks is None or not gpus or not runs_in_one_pod(server) or _others_use_gpus(server):
        return
    count = sum(gpu.count or 0 for gpu in gpus)
    shared = shares_gpus(server.workload, world)
    if ranks.total >= count or shared is True:
        return
    idle = count - ranks.total
    related = (Related(ranks.place, f"uses {plural(ranks.total, 'GPU')}"),) if ranks.place is not None else ()
    # a pod bound to one machine or to none in particular may well run on time-sliced GPUs
    bound = "kubernetes.io/hostname" in string_map(server.workload.spec.at("nodeSelector"))
    likely = selects_gpu_class(server.workload) and not bound
    yield Finding(
        gpus[0].node.content,
        f"the container reserves {plural(count, 'GPU')} but vLLM uses {ranks.total} ({ranks.text}): "
        f"{'1 GPU stays' if idle == 1 else f'{idle} GPUs stay'} idle, and no other pod can have "
        f"{'it' if idle == 1 else 'them'}",
        f"Write `{gpus[0].resource}: {ranks.total}`, or use them all with {_use_all(ranks, count)}.",
        f"{idle} of {count} idle",
        confidence="high" if shared is False else "medium" if likely else "low",
        assumptions=() if shared is False else ("each unit is a whole GPU, not a time-sliced share",),
        related=related,
    )


def counted_gpus(server: Server) -> tuple[GpuRequest, ...]:
    """The whole GPUs a container asks for; empty when it asks for none, or for anything that is not."""
    gpus = server.gpus
    exact = all(
        gpu.accelerator.whole and gpu.accelerator.kind in _COUNTED_KINDS and gpu.count is not None
        for gpu in gpus
    )
    return gpus if exact and not server.has_claims else ()


def plural(count: int, noun: str, ending: str = "s") -> str:
    """A count with its noun: `1 GPU`, `4 GPUs`."""
    return f"{count} {noun}{'' if count == 1 else ending}"


def _data_parallel(server: Server) -> Factor | None:
    """The data parallel engines in this container."""
    name = "data parallel"
    local = server.get("data_parallel_size_local")
    if not local.known or "VLLM_DP_SIZE" in server.env:
        return None
    if local.explicit:
        # 0 is a pod of API servers only
        known = isinstance(local.value, int) and local.value > 0
        return (
            Factor(f"local {name}", "data_parallel_size_local", local.value, local.place) if known else None
        )
    if server.get("data_parallel_multi_port_external_lb").value is True or server.is_headless:
        return None
    rank, external = server.get("data_parallel_rank"), server.get("data_parallel_external_lb")
    if not rank.known or not external.known:
        return None
    if rank.explicit or external.value is True:
        return Factor(name, "data_parallel_rank", 1, None)
    size: Any = server.get("data_parallel_size")
    if not size.known or not isinstance(size.value, int | None):
        return None
    return Factor(name, "data_parallel_size", size.value or 1, size.place)


def _refusal(server: Server, ranks: Ranks, count: int) -> str:
    """What vLLM does about too few GPUs; before 0.11.1 it turned to Ray (vllm/config/parallel.py)."""
    if ranks.engine <= count:
        return "a data parallel engine finds no GPU of its own and the server stops at start"
    if flag_table(server.release).get("nnodes") is None:
        return f"vLLM {server.release} then looks for a Ray cluster with more of them, finds none and stops"
    error = f"World size ({ranks.engine}) is larger than the number of available GPUs ({count})"
    return f"it stops at start with `{error}`"


def _flags(ranks: Ranks) -> str:
    flags = [f"`--{factor.flag.replace('_', '-')}`" for factor in ranks.factors if factor.size > 1]
    return " and ".join(flags)


def _use_all(ranks: Ranks, count: int) -> str:
    """The flag that makes use of all GPUs, where a whole number does."""
    if count % ranks.total:
        return "a larger `--tensor-parallel-size` or `--data-parallel-size`"
    tensor = next(factor.size for factor in ranks.factors if factor.flag == "tensor_parallel_size")
    times = count // ranks.total
    return f"`--tensor-parallel-size={tensor * times}` or `--data-parallel-size={ranks.engines * times}`"


def _others_use_gpus(server: Server) -> bool:
    """Whether something else in the container may use GPUs: another rank, another engine, a chosen subset."""
    chosen = server.get("device_ids").explicit or "CUDA_VISIBLE_DEVICES" in server.env
    if chosen or server.get("data_parallel_rank").explicit or server.is_set("data_parallel_external_lb"):
        return True
    script, own = server.invocation.script, server.invocation.command
    if script is None or own is None:
        return server.invocation.script is not None
    if own.background or own.in_function or "CUDA_VISIBLE_DEVICES" in own.assignments:
        return True
    if "CUDA_VISIBLE_DEVICES" in script.parsed.variables:
        return True
    others = [command for command in script.parsed.commands if command is not own]
    return any(_ENGINES.search(" ".join(word.text or "" for word in command.words)) for command in others)
