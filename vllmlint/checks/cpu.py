"""Section memory: CPU cores: threads under a limit, and servers that compute on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._cpu import is_cpu_build
from vllmlint.checks._load import GIB, known_size
from vllmlint.checks._purpose import is_trial
from vllmlint.finding import Finding, Related
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.nodes import Scalar
from vllmlint.serving.ranks import ranks_of
from vllmlint.serving.server import Server
from vllmlint.world import World

_THREADS = "OMP_NUM_THREADS"
#: vllm-project/vllm#49919 (opened 2026-07-27, in 0.27.0 at the latest) makes workers read the cgroup quota
#: and serve with one thread; 0.26.0 was cut in the same days and is left alone.
_READS_QUOTA_SINCE = "0.26.0"
#: From here on only structured output and loading use the pool (vllm-project/vllm#49013); V0 used it in
#: every step (vllm-project/vllm#9113).
_ENGINE_V1_SINCE = "0.8.0"
#: GPU nodes have 32 hardware threads and more; under a limit above this torch's pool is hardly larger.
_MOST_CORES = 16
#: A 1.5B model answers "say hi" in 1 s with 13 cores, in 58 s with 5, and never with fewer
#: (kubernetes-sigs/gateway-api-inference-extension#464, which settles on 8).
_LEAST_CORES = 8
#: Models of a few hundred million parameters answer on any core.
_TINY_BYTES = 1e9
_CACHE_SPACE = "VLLM_CPU_KVCACHE_SPACE"
#: Interpreter, torch and tokenizer of API server and engine, GiB: the low end of `process_memory`, no rank.
_PROCESSES_GIB = 1.4


def omp_threads_unbounded(server: Server, world: World) -> Iterator[Finding]:
    """A CPU limit on a release whose torch counts the node's cores."""
    limit = _limit(server, "cpu")
    if limit is None or _THREADS in server.env or not server.gpus:
        return
    node, cores = limit
    if cores > _MOST_CORES or server.release_certainty not in {"certain", "contract"}:
        return
    ranks = ranks_of(server)
    # several workers start with OMP_NUM_THREADS=1 (vllm/executor/multiproc_worker_utils.py)
    if server.release.at_least(_READS_QUOTA_SINCE) or ranks is None or ranks.engine != 1:
        return
    if _script_sets_threads(server):
        return
    threads = max(1, int(cores))
    modern = server.release.at_least(_ENGINE_V1_SINCE)
    effect = "two to six times slower structured output" if modern else "slower tokens"
    yield Finding(
        node.content,
        f"torch in vLLM {server.release} starts one thread for each core of the node, not of the limit of "
        f"{node.text}: the threads wait for each other by spinning, use the limit up, and the kernel stops "
        f"the engine with them for the rest of each tenth of a second ({effect})",
        f'Add `{{name: {_THREADS}, value: "{threads}"}}` to the environment (1 is enough to serve), or '
        "remove the CPU limit.",
        "threads of the whole node",
        severity="info" if modern else None,
        confidence="medium",
        assumptions=("the node has more cores than the limit", f"the image sets no {_THREADS}"),
    )


def cpu_backend_too_few_cores(server: Server, world: World) -> Iterator[Finding]:
    """A server on the CPU with few cores, or with less memory than weights and cache take."""
    if not is_cpu_build(server) or server.gpus:
        return
    yield from _few_cores(server, world)
    yield from _little_memory(server, world)


def _few_cores(server: Server, world: World) -> Iterator[Finding]:
    limit = _limit(server, "cpu")
    if limit is None or limit[1] >= _LEAST_CORES or is_trial(server, world):
        return
    size = known_size(server, world)
    if size is not None and size.stored.mid < _TINY_BYTES:
        return
    node, cores = limit
    yield Finding(
        node.content,
        f"vLLM computes on {cores:g} CPU core{'' if cores == 1 else 's'}: loading works, but even a short "
        "answer of a 1.5B model took a minute with 5 cores, and did not end with fewer",
        f'Write `limits: {{cpu: "{_LEAST_CORES}"}}` or more, and the same as request.',
        f"{_LEAST_CORES} wanted",
        confidence="medium",
    )


def _little_memory(server: Server, world: World) -> Iterator[Finding]:
    limit, space, ranks = _limit(server, "memory"), server.env.get(_CACHE_SPACE), ranks_of(server)
    if limit is None or ranks is None or space is None or space.value_node is None:
        return
    if space.source != "value" or not (space.value or "").strip().isdigit():
        return
    size = known_size(server, world)
    if size is None:
        return
    node, amount = limit
    available = amount / GIB
    cache, weights = int(space.value or "0") * ranks.total, size.stored.low / GIB
    if available >= cache + weights + _PROCESSES_GIB:
        return
    times = f" for each of {ranks.total} ranks" if ranks.total > 1 else ""
    yield Finding(
        space.value_node.content,
        f"a KV cache of {space.value} GiB{times} and {weights:.3g} GiB of weights lie in the node's memory, "
        f"and the limit is {available:.4g} GiB: the container is killed (OOMKilled) when it fills them",
        "Raise the memory limit above the sum, or lower the cache.",
        f"{cache + weights:.4g} GiB with the weights",
        severity="error",
        confidence="low" if size.confidence == "low" else "medium",
        assumptions=size.assumptions,
        related=(Related(node.content, "the limit"),),
    )


def _limit(server: Server, name: str) -> tuple[Scalar, float] | None:
    """A limit of the container, in cores or bytes."""
    node = server.container.resource("limits", name)
    amount = parse_quantity(node.text.strip()) if node is not None else None
    return None if node is None or amount is None or amount <= 0 else (node, float(amount))


def _script_sets_threads(server: Server) -> bool:
    from vllmlint.serving.cache_paths import script_variables

    return _THREADS in script_variables(server)
