"""Section memory: the container's memory limit against what vLLM takes of the node's memory."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._load import GIB, known_size
from vllmlint.finding import Finding, Related
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.serving.ranks import ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Terms of `host_memory` that settings ask for, which the rule about offloading judges.
_ASKED_FOR = frozenset({"weights offloaded", "KV cache offloaded", "swap space", "multimodal cache"})
#: `--cpu-offload-gb` and `--swap-space` are GiB for each GPU, `--kv-offloading-size` for all together (vLLM
#: 0.33.0 config/offload.py, config/cache.py; swap is taken by V0 only, until 0.18.0 removed the flag).
_FOR_EACH_RANK = ("cpu_offload_gb",)
_FOR_ALL_RANKS = ("kv_offloading_size",)
#: Each worker has its own LMCache engine (LMCache docs, configuration: `max_local_cpu_size`, in GB).
_LMCACHE_SIZE = "LMCACHE_MAX_LOCAL_CPU_SIZE"
_LMCACHE_WORD = "lmcache"
#: A limit with this much for each GPU process (GiB) holds the processes whatever they do.
_MOST_GIB = 12
#: The engine runs in a process of its own since V1, the default from 0.8.0 on.
_ENGINE_CORE_SINCE = "0.8.0"


@record
class Buffer:
    """Host memory that a setting asks for: its name, place, GiB in this container, and how it counts."""

    name: str
    place: Place
    gib: float
    formula: str


def host_memory_limit_too_small(server: Server, world: World) -> Iterator[Finding]:
    """A memory limit below what the processes take, whatever the model."""
    limit, ranks = _limit(server), _local_ranks(server)
    if limit is None or ranks is None:
        return
    node, available = limit
    if available >= _MOST_GIB * ranks:
        return
    from vllmlint.memory.host import DEFAULT_SHARD_GIB, host_memory, process_memory

    size = known_size(server, world)
    if size is not None and size.config is not None:
        shard = min(DEFAULT_SHARD_GIB, size.gib)
        memory = host_memory(size.config, ranks, largest_shard_gib=shard)
        terms = [term for term in memory.terms if term.name not in _ASKED_FOR]
    else:
        terms = [process_memory(ranks, has_engine_core=server.release.at_least(_ENGINE_CORE_SINCE))]
    low, mid = (sum(getattr(term.gib, end) for term in terms) for end in ("low", "mid"))
    if available >= mid:
        return
    surely = available < low
    processes = "the GPU's process" if ranks == 1 else f"{ranks} GPU processes"
    yield Finding(
        node.content,
        f"the API server, the engine and {processes} take {low:.1f} GiB of the node's memory at least and "
        f"about {mid:.1f}, and the limit is {available:.3g}: the container {'is' if surely else 'may be'} "
        "killed (OOMKilled, 137) while it loads, without a traceback",
        f"Write `limits: {{memory: {_rounded(mid)}Gi}}` or more.",
        f"about {mid:.1f} GiB wanted",
        severity=None if surely else "warning",
        confidence="high" if surely else "medium",
    )


def offload_exceeds_host_memory(server: Server, world: World) -> Iterator[Finding]:
    """Buffers in host memory that do not fit the container's limit beside the processes."""
    limit, ranks = _limit(server), _local_ranks(server)
    if limit is None or ranks is None:
        return
    node, available = limit
    buffers = list(_buffers(server, ranks))
    if not buffers:
        return
    from vllmlint.memory.host import process_memory

    wanted = sum(buffer.gib for buffer in buffers)
    processes = process_memory(ranks).gib
    if available >= wanted + processes.mid:
        return
    surely = available < wanted + processes.low
    largest = max(buffers, key=lambda buffer: buffer.gib)
    sums = " + ".join(f"{buffer.gib:.4g} GiB ({buffer.formula})" for buffer in buffers)
    yield Finding(
        largest.place,
        f"{sums} of host memory and about {processes.mid:.1f} GiB for the processes exceed the limit of "
        f"{available:.4g} GiB: the container {'is' if surely else 'may be'} killed (OOMKilled) when the "
        "buffer is taken, at start or under load",
        f"Raise the memory limit to {_rounded(wanted + processes.mid)}Gi or more, or offload less.",
        f"{wanted:.4g} GiB",
        severity=None if surely else "warning",
        confidence="high" if surely else "medium",
        related=(Related(node.content, "the limit"),),
    )


def _limit(server: Server) -> tuple[Scalar, float] | None:
    """The container's memory limit in GiB, where GPUs do the work and no other rule of the pod counts."""
    if not server.gpus and not server.has_claims:
        return None
    if server.workload.spec.mapping("resources") is not None:
        return None
    node = server.container.resource("limits", "memory")
    amount = parse_quantity(node.text.strip()) if node is not None else None
    return None if node is None or amount is None or amount <= 0 else (node, amount / GIB)


def _local_ranks(server: Server) -> int | None:
    """GPU processes in this container; None when it is not told."""
    ranks = ranks_of(server)
    if ranks is None:
        return None
    if runs_in_one_pod(server):
        return ranks.total
    return None if server.gpu_count is None else min(ranks.total, server.gpu_count)


def _buffers(server: Server, ranks: int) -> Iterator[Buffer]:
    for name in (*_FOR_EACH_RANK, *_FOR_ALL_RANKS):
        value = server.get(name)
        amount = value.value
        if not (value.explicit and value.known) or value.place is None:
            continue
        if isinstance(amount, int | float) and not isinstance(amount, bool) and amount > 0:
            flag = f"--{name.replace('_', '-')} {amount:g}"
            times = ranks if name in _FOR_EACH_RANK else 1
            formula = f"{flag} × {times} GPUs" if times > 1 else flag
            yield Buffer(name, value.place, float(amount) * times, formula)
    yield from _of_chart(server, ranks)
    cache = server.env.get(_LMCACHE_SIZE)
    transfer = server.get("kv_transfer_config")
    if cache is None or cache.value_node is None or cache.source != "value":
        return
    if not transfer.explicit or _LMCACHE_WORD not in str(transfer.value).lower():
        return
    yield from _lmcache(_LMCACHE_SIZE, cache.value, cache.value_node, ranks)


def _of_chart(server: Server, ranks: int) -> Iterator[Buffer]:
    """What production-stack's chart hands to LMCache (helm/templates/deployment-vllm-multi.yaml)."""
    wrapper = server.wrapper
    if wrapper is None or wrapper.controller != "production-stack chart":
        return
    settings = server.workload.template.mapping("lmcacheConfig")
    node = settings.scalar("cpuOffloadingBufferSize") if settings is not None else None
    if settings is not None and node is not None and settings.flag("enabled"):
        yield from _lmcache("cpuOffloadingBufferSize", node.text, node, ranks)


def _lmcache(name: str, text: str | None, node: Scalar, ranks: int) -> Iterator[Buffer]:
    """A cache of so many GB for each worker."""
    try:
        amount = float(text or "")
    except ValueError:
        return
    if amount > 0:
        formula = f"{name} {amount:g}" + (f" × {ranks} GPUs" if ranks > 1 else "")
        yield Buffer(name, node.content, amount * ranks, formula)


def _rounded(gib: float) -> int:
    """Whole GiB, up to the next multiple of four."""
    return -(-int(gib + 0.999) // 4) * 4
