"""Host memory that a server needs on one node: processes, request tables, loading, offload, `/dev/shm`.

All of it counts against the container's memory limit: what is written to a tmpfs too.
"""

from __future__ import annotations

from typing import Any

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term, total
from vllmlint.memory.dimensions import GIB
from vllmlint.memory.encoder import encoder_is_profiled
from vllmlint.memory.sampler import at_least, before
from vllmlint.record import record

#: Resident memory of the API server with tokenizer and imports, GiB.
_API_SERVER = Band(0.8, 1.3, 2.5, "imports, tokenizer, grammars")
#: Of the engine core process (V1 since 0.8; part of the server in V0).
_ENGINE_CORE = Band(0.6, 1.0, 2.0, "imports, scheduler")
#: Of one GPU worker: torch, CUDA context's host side, compiled kernels (rule host-memory-limit-too-small
#: takes 3 GiB a rank).
_WORKER = Band(1.5, 2.5, 4.0, "torch, CUDA context, compiled kernels")
#: A safetensors shard as the hub's uploaders cut them (5 GB by default of `save_pretrained`).
DEFAULT_SHARD_GIB = 5e9 / GIB
#: Loaders that hold a whole shard (or more) in host memory; the safetensors default maps it, and the page
#: cache gives it back under pressure.
_WHOLE_SHARD_FORMATS = frozenset({"pt", "npcache", "sharded_state"})
#: `--mm-processor-cache-gb`: 4 GiB for each API server and data parallel engine (0.10.1+).
_MM_CACHE_DEFAULT = 4.0
#: `--swap-space` until it was removed with 0.18.0: 4 GiB for each GPU, used by V0 only.
_SWAP_DEFAULT = 4.0
#: Ring of the message queue between engine and workers: 10 chunks of 16 MiB (`shm_broadcast.py`).
_RING_GIB = 10 * 16 / 1024
#: NCCL's shared memory for one pair of ranks without peer access: 10 to 30 MiB a channel set.
_NCCL_SHM = Band(0.01, 0.1, 0.5, "NCCL buffers without peer-to-peer access")


@record
class HostMemory:
    """Terms in GiB for one node; `shm` is the part that lies in `/dev/shm` (inside the sum)."""

    terms: tuple[Term, ...]
    shm: Term

    @property
    def needed_gib(self) -> Band:
        """The sum, `/dev/shm` included."""
        return total(term.gib for term in self.terms)


def host_memory(
    config: EngineConfig, ranks: int | None = None, *, largest_shard_gib: float = DEFAULT_SHARD_GIB
) -> HostMemory:
    """What one node's container needs; `ranks` are the GPU processes on it (default: all of the server).

    Raises nothing; a size that is not known is a band.
    """
    local = ranks if ranks is not None else config.tensor_parallel_size * config.pipeline_parallel_size
    terms = [
        _processes(config, local),
        _request_tables(config, local),
        _loading(config, local, largest_shard_gib),
    ]
    terms.extend(_offload(config, local))
    shm = shared_memory(config, local)
    return HostMemory((*terms, shm), shm)


def process_memory(ranks: int, api_servers: int = 1, *, has_engine_core: bool = True) -> Term:
    """Resident memory of a node's processes, in GiB: it depends on their number and hardly on the model.

    `has_engine_core` is false for V0, whose engine is part of the server.
    """
    gib = _API_SERVER.scaled(api_servers).plus(_WORKER.scaled(ranks))
    formula = f"{api_servers} API server + {ranks} workers x {_WORKER.mid} GiB"
    if has_engine_core:
        gib = gib.plus(_ENGINE_CORE)
        formula += f" + engine core {_ENGINE_CORE.mid} GiB"
    return Term("processes", gib, formula)


def _processes(config: EngineConfig, ranks: int) -> Term:
    servers = max(1, _integer(config, "api_server_count", 1))
    return process_memory(ranks, servers, has_engine_core=config.model_runner != "v0")


def _request_tables(config: EngineConfig, ranks: int) -> Term:
    """`token_ids_cpu` of every worker: S x M token ids (int32), in the first V1 runner a bool beside each."""
    cell = 4 if config.model_runner == "v2" or before(config.release, 0, 10, 2) else 5
    if config.model_runner == "v0":
        cell = 0
    amount = ranks * config.max_num_seqs * config.max_model_len * cell / GIB
    formula = f"{ranks} ranks x {config.max_num_seqs} requests x {config.max_model_len} tokens x {cell} B"
    return Term("request tables", Band(0.0, amount, amount, "touched as requests grow"), formula)


def _loading(config: EngineConfig, ranks: int, shard: float) -> Term:
    settings = config.request.settings
    load_format = str(settings.get("load_format") or "auto")
    strategy = settings.get("safetensors_load_strategy")
    if load_format == "dummy":
        return Term("loading", Band(0.0, 0.0, 0.1, ""), "dummy weights")
    if load_format in _WHOLE_SHARD_FORMATS or strategy == "eager":
        return Term(
            "loading",
            Band(shard, shard * ranks, shard * ranks * 1.2, "ranks reach the same shard at different times"),
            f"{ranks} ranks x one shard of {shard:.2f} GiB in memory",
        )
    return Term(
        "loading",
        Band(0.1, 0.5, max(0.5, shard), "mapped files are page cache that the kernel takes back"),
        "safetensors are mapped, one tensor is copied at a time",
    )


def _offload(config: EngineConfig, ranks: int) -> list[Term]:
    settings = config.request.settings
    terms = []
    weights = _number(settings.get("cpu_offload_gb"))
    if weights:
        terms.append(
            _exact("weights offloaded", weights * ranks, f"--cpu-offload-gb {weights:g} x {ranks} ranks")
        )
    cache = _number(settings.get("kv_offloading_size"))
    if cache:
        terms.append(
            _exact("KV cache offloaded", cache, f"--kv-offloading-size {cache:g}, all ranks together")
        )
    if config.model_runner == "v0" and before(config.release, 0, 18):
        swap = _number(settings.get("swap_space"))
        swap = _SWAP_DEFAULT if swap is None else swap
        terms.append(_exact("swap space", swap * ranks, f"--swap-space {swap:g} x {ranks} ranks"))
    if encoder_is_profiled(config) and at_least(config.release, 0, 10, 1):
        each = _number(settings.get("mm_processor_cache_gb"))
        each = _MM_CACHE_DEFAULT if each is None else each
        count = max(1, _integer(config, "api_server_count", 1)) + config.data_parallel_size
        band = Band(0.0, each * count / 2, each * count, "fills with use")
        terms.append(Term("multimodal cache", band, f"{each:g} GiB x ({count} API servers and engines)"))
    return terms


def shared_memory(config: EngineConfig, ranks: int) -> Term:
    """What lies in `/dev/shm`: the message ring of several ranks, NCCL's buffers between them.

    A single rank uses next to nothing; the runtime's default is 64 MiB.
    """
    if ranks <= 1:
        return Term("/dev/shm", Band(0.0, 0.01, 0.06, "one rank"), "one rank")
    gib = Band(_RING_GIB, _RING_GIB, _RING_GIB * 2, "message ring").plus(_NCCL_SHM.scaled(ranks - 1))
    formula = f"message ring {_RING_GIB:.2f} GiB + NCCL {_NCCL_SHM.mid} GiB x {ranks - 1}"
    if config.request.settings.get("mm_processor_cache_type") == "shm" and encoder_is_profiled(config):
        each = _number(config.request.settings.get("mm_processor_cache_gb"))
        each = _MM_CACHE_DEFAULT if each is None else each
        gib = gib.plus(Band(each, each, each, "multimodal cache in shared memory"))
        formula += f" + multimodal cache {each:g} GiB"
    return Term("/dev/shm", gib, formula)


def _exact(name: str, amount: float, formula: str) -> Term:
    return Term(name, Band(amount, amount, amount), formula)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(config: EngineConfig, name: str, default: int) -> int:
    value = config.request.settings.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
