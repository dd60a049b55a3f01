"""The GPU processes of a server, and the GPUs they are to be held against."""

from __future__ import annotations

from typing import Any

from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.server import GpuRequest, Server

#: Devices that CUDA or HIP counts one by one, so that vLLM's world size can be held against their number.
#: A TPU, Neuron, Gaudi or Ascend unit may hold several devices, or one process may drive several of them.
_COUNTED_KINDS = frozenset({"cuda", "rocm"})
#: Programs that spread one server over several pods or processes of their own.
_SPREADERS = regex(r"(?<![\w./-])(?:ray|torchrun|mpirun|srun)(?![\w-])|multi-node-serving")


@record
class Factor:
    """One factor of the world size: `name` as in messages, `size`, the characters of its value if written."""

    name: str
    flag: str
    size: int
    place: Place | None


@record
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
    if "ranks" not in server.memo:
        server.memo["ranks"] = _work_out_ranks(server)
    ranks: Ranks | None = server.memo["ranks"]
    return ranks


def _work_out_ranks(server: Server) -> Ranks | None:
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
    if "one pod" not in server.memo:
        server.memo["one pod"] = _is_in_one_pod(server)
    answer: bool = server.memo["one pod"]
    return answer


def _is_in_one_pod(server: Server) -> bool:
    if (
        _spreads_by_flags(server)
        or server.get("data_parallel_backend").value == "ray"
        or "RAY_ADDRESS" in server.env
    ):
        return False
    for container in server.workload.containers:
        words = [*(container.command or ()), *(container.args or ())]
        if any(_SPREADERS.search(word.text) for word in words):
            return False
    return True


def _spreads_by_flags(server: Server) -> bool:
    """Whether the kind of object or the flags say that ranks run in other pods too."""
    if server.workload.carrier != "plain":
        return True
    nodes, backend = server.get("nnodes"), server.get("distributed_executor_backend")
    if not nodes.known or (isinstance(nodes.value, int) and nodes.value > 1):
        return True
    return not backend.known or backend.value in {"ray", "external_launcher"}


def counted_gpus(server: Server) -> tuple[GpuRequest, ...]:
    """The whole GPUs a container asks for; empty when it asks for none, or for anything that is not."""
    gpus = server.gpus
    exact = all(
        gpu.accelerator.whole and gpu.accelerator.kind in _COUNTED_KINDS and gpu.count is not None
        for gpu in gpus
    )
    return gpus if exact and not server.has_claims else ()


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
