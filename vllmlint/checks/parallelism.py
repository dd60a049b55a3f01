"""Section parallelism: GPU processes against the GPUs the container gets."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._hardware import stranded_gpus
from vllmlint.checks._nodes import selects_gpu_class, shares_gpus
from vllmlint.finding import Finding, Related
from vllmlint.kube.objects import string_map
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.ranks import Ranks, counted_gpus, ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

#: What else in a script may use the GPUs beside the server.
_ENGINES = regex(r"vllm|api_server|sglang|python|lmcache|mooncake|nixl")


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
        if ranks.total == count and shared is False:
            yield from _stranded(server, count, world)
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


def _stranded(server: Server, count: int, world: World) -> Iterator[Finding]:
    """GPUs of the pool's nodes that such pods leave over: 5 of 8 leave 3."""
    found = stranded_gpus(server, world)
    if found is None:
        return
    pool, devices, left = found
    fits = devices // count
    yield Finding(
        server.gpus[0].node.content,
        f"a node of pool `{pool}` has {plural(devices, 'GPU')} and holds {plural(fits, 'such pod')} of "
        f"{count}: {plural(left, 'GPU')} of it {'stays' if left == 1 else 'stay'} over, which only smaller "
        "pods can use",
        f"Choose sizes whose product divides {devices}, or leave the rest to smaller servers and ignore "
        "this.",
        f"{left} of {devices} stay over",
        severity="info",
        confidence="medium",
        assumptions=("no smaller pods fill the nodes",),
    )


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
