"""Section memory: shared memory between GPU processes, and the context length that is reserved for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import string_map
from vllmlint.kube.pods import Mount
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.ranks import Ranks, ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

_SHM = "/dev/shm"
_MIB = 2**20
_GIB = 2**30
#: What container runtimes give a container without a mount at /dev/shm (containerd, CRI-O).
_RUNTIME_SHM = 64 * _MIB
#: vLLM's message queues between processes, ten chunks each: 16 MiB chunks for the queue to all workers of an
#: engine, 24 MiB for each worker's answers (vllm/v1/executor/multiproc_executor.py; vllm-project/vllm#50606).
_BROADCAST_QUEUE = 160 * _MIB
_ANSWER_QUEUE = 240 * _MIB
#: From this release on a queue that does not fit /dev/shm stops the start (vllm-project/vllm#48879).
_CHECKED_SINCE = "0.27.0"
#: NVIDIA's advice for NCCL in containers: NCCL user guide, troubleshooting, shared memory.
_NCCL_ADVICE = 1 * _GIB
#: `--enable-shm-tensor-arena`: eight slots of 256 MiB and a few bytes of state, checked at start.
_TENSOR_ARENA = 2 * _GIB + 4096
#: vLLM's default for `--mm-processor-cache-gb`.
_CACHE_GIB = 4
#: The queues are hardly ever all full at once: a volume that misses the sum by less is not worth a finding.
_TOLERANCE = 0.9
#: Devices that vLLM gives one process each; the others may keep all devices in one process.
_PROCESS_KINDS = frozenset({"cuda", "rocm", "xpu"})
#: CRI-O sizes /dev/shm by an annotation of the pod.
_SHM_ANNOTATION = "io.kubernetes.cri-o.ShmSize"
#: Names of models that compute vectors, scores or transcripts: their length is short and fixed.
_POOLING_NAME = regex(
    r"embed|rerank|retriev|sentence-transformers|cross-encoder|classif|reward|(?<![a-z])prm(?![a-z])|colbert|colpali"
    r"|colqwen|(?<![a-z])(?:bge|gte|e5|minilm|mpnet|bert|roberta|deberta|whisper|splade|clip|siglip)(?![a-z])",
    re.IGNORECASE,
)
#: Families whose config.json names less than 64k tokens: the default is then no surprise. Variants with a
#: longer context say so in their name.
_SHORT_CONTEXT = regex(
    r"(?<![a-z])(?:opt-\d|gpt2|qwen2-audio|phi-[124](?!\d)|tinyllama|smollm|falcon-\d|yi-\d|vicuna|codellama|olmo-2|llava-1\.5"
    r"|gemma-(?:1\.1-)?[27]b|gemma-2-|gemma-3-1b|(?:meta-)?llama-2-|(?:meta-)?llama-3-\d|mistral-7b|mixtral-8x7b"
    r"|qwen2(?:\.5)?-(?:coder-|math-|omni-)?\d|qwen3-\d)",
    re.IGNORECASE,
)
_LONG_VARIANT = regex(r"2507|\d{3,}k|(?<!\d)(?:[124]|10)m(?![a-z])|long|gradient", re.IGNORECASE)
_POOLING_TASKS = frozenset(
    {"embed", "embedding", "classify", "score", "reward", "transcription", "pooling", "draft"}
)
#: `--max-model-len auto` chooses the longest context that fits (vllm-command-line.md, section 2).
_AUTO_SINCE = "0.14.0"


@record
class _Need:
    """What a server puts into /dev/shm.

    `size` in bytes is the sum at its largest, `checked` the largest piece for which vLLM wants room at start
    (0: it does not look), `piece` that one in words, `parts` all of them, `place` the characters of the
    setting behind them. `certain` when the release is known for sure.
    """

    size: int
    checked: int
    piece: str
    parts: str
    place: Place
    certain: bool


def shm_missing_for_tp(server: Server, world: World) -> Iterator[Finding]:
    """Several GPU processes, or a cache in shared memory, and only the runtime's 64 MiB of it."""
    workload = server.workload
    annotations = string_map(workload.template.at("metadata", "annotations"))
    if workload.carrier == "other" or workload.spec.flag("hostIPC") or _SHM_ANNOTATION in annotations:
        return
    if server.container.mount_of(_SHM) is not None:
        return
    need = _need(server)
    if need is None:
        return
    processes = _processes(server)
    who = f"{processes} GPU processes share" if processes > 1 else f"{need.parts} lies in"
    if need.checked > _RUNTIME_SHM:
        outcome = f"{need.piece} does not fit, and vLLM stops at start with `Insufficient space in /dev/shm`"
    elif processes > 1:
        outcome = "NCCL or vLLM fail with a shared memory error or a bus error, at start or under load"
    else:
        outcome = "the server starts, and a process dies of a bus error when the cache has grown past that"
    yield Finding(
        need.place,
        f"{who} /dev/shm, which without a volume has 64 MiB: {outcome}",
        f"Add `volumes: [{{name: shm, emptyDir: {{medium: Memory, sizeLimit: {_advised(need.size)}}}}}]` "
        "and `volumeMounts: [{name: shm, mountPath: /dev/shm}]`; it counts towards the memory limit only "
        "as far as it is used.",
        "needs /dev/shm",
        severity=None if processes > 1 and not _only_data_parallel(server) else "warning",
        confidence="high" if need.checked > _RUNTIME_SHM and need.certain else "medium",
        related=_gpu_note(server),
    )


def shm_wrong_medium(server: Server, world: World) -> Iterator[Finding]:
    """A volume at /dev/shm that is no memory."""
    mount = _shm_mount(server)
    if mount is None or mount.volume is None:
        return
    volume = mount.volume
    path = volume.source.string("path") if volume.source is not None else None
    if volume.kind == "emptyDir":
        if (
            volume.medium == "Memory"
            or volume.medium.startswith("HugePages")
            or volume.name not in _declared(server)
        ):
            return
        what = "an emptyDir on the node's disk"
    elif volume.kind in {"persistentVolumeClaim", "volumeClaimTemplate", "ephemeral", "nfs"} or (
        volume.kind == "hostPath" and path is not None and not path.startswith(("/dev", "/run"))
    ):
        what = f"a {volume.kind} volume on disk"
    else:
        return
    need = _need(server)
    medium = volume.source.scalar("medium") if volume.source is not None else None
    mount_path = mount.node.scalar("mountPath")
    yield Finding(
        where(medium or volume.node.key(volume.kind) or volume.node),
        f"/dev/shm is {what}: what processes exchange there is written to disk, which slows the collectives "
        "of several GPUs and counts towards the pod's ephemeral storage or fills the volume",
        f"Write `emptyDir: {{medium: Memory, sizeLimit: {_advised(need.size if need else 0)}}}` for the "
        f"volume `{volume.name}`.",
        "on disk",
        severity=None if need is not None else "info",
        related=(Related(mount_path.content, "mounted here"),) if mount_path is not None else (),
    )


def shm_too_small(server: Server, world: World) -> Iterator[Finding]:
    """A memory volume at /dev/shm that holds less than the server puts there."""
    mount = _shm_mount(server)
    if (
        mount is None
        or mount.volume is None
        or mount.volume.source is None
        or mount.volume.medium != "Memory"
    ):
        return
    limit = mount.volume.source.scalar("sizeLimit")
    size = parse_quantity(limit.text.strip()) if limit is not None else None
    need = _need(server)
    if limit is None or size is None or need is None:
        return
    refused = size < need.checked
    if not refused and size >= _TOLERANCE * need.size:
        return
    if refused:
        outcome = f"{need.piece} does not fit: vLLM stops at start with `Insufficient space in /dev/shm`"
    else:
        outcome = f"{need.parts} can take {_human(need.size)}: when it is full, a process dies of a bus error"
    yield Finding(
        limit.content,
        f"/dev/shm holds {_human(size)}, and {outcome}",
        f"Write `sizeLimit: {_advised(need.size)}`, and keep the container's memory limit above it.",
        f"{_human(need.size)} wanted",
        severity="error" if refused else None,
        confidence="high" if refused and need.certain else "medium",
        related=(Related(need.place, "what fills it"), *_gpu_note(server)),
    )


def max_model_len_unset(server: Server, world: World) -> Iterator[Finding]:
    """No context length for a model that writes text."""
    if server.workload.carrier == "other" or not server.arguments_known or server.is_headless:
        return
    model = server.model
    if server.get("max_model_len").explicit or model.kind == "unknown" or model.source == "default":
        return
    if _pools(server) or (_SHORT_CONTEXT.search(model.id) and not _LONG_VARIANT.search(model.id)):
        return
    automatic = (
        ", or `--max-model-len=auto` for the longest that fits"
        if server.release.at_least(_AUTO_SINCE)
        else ""
    )
    yield Finding(
        model.place or server.anchor,
        "no `--max-model-len`: vLLM takes the longest context that the model's config.json names, 128k "
        "tokens and more for current models, refuses to start when the KV cache cannot hold one such "
        "request, and lets a single request fill it",
        f"Write the length you mean to serve, for example `--max-model-len=8192`{automatic}.",
        "its config.json decides the length",
        confidence="medium",
        assumptions=("the model's config.json names a long context",),
    )


def _shm_mount(server: Server) -> Mount | None:
    """The mount at /dev/shm itself."""
    mount = server.container.mount_of(_SHM)
    return mount if mount is not None and mount.path == _SHM else None


def _declared(server: Server) -> set[str]:
    """Volumes whose source is written; one without may be filled in by an overlay."""
    return {volume.name for volume in server.workload.volumes.values() if volume.kind in volume.node.entries}


def _processes(server: Server) -> int:
    """GPU processes of this server in one pod; 0 when it cannot be told."""
    ranks = ranks_of(server)
    if ranks is None or any(gpu.accelerator.kind not in _PROCESS_KINDS for gpu in server.gpus):
        return 0
    if runs_in_one_pod(server):
        return ranks.total
    # ranks that spread over pods: as many here as the container has GPUs
    return min(ranks.total, server.gpu_count or 0)


def _only_data_parallel(server: Server) -> bool:
    ranks = ranks_of(server)
    return ranks is not None and ranks.engine == 1


def _need(server: Server) -> _Need | None:
    """What the server puts into /dev/shm; None when a single process needs nothing there."""
    ranks, processes = ranks_of(server), _processes(server)
    size, checked, piece, parts = 0, 0, "one of vLLM's message queues (240 MiB)", []
    place = None
    if ranks is not None and processes > 1:
        queues = _queues(server, ranks)
        place, size = ranks.place, max(_NCCL_ADVICE, queues)
        parts.append(f"the message queues of {processes} processes" if queues > _NCCL_ADVICE else "NCCL")
        checked = _ANSWER_QUEUE if queues else 0
        if server.is_set("enable_shm_tensor_arena") and queues:
            size, checked = size + _TENSOR_ARENA * ranks.engines, _TENSOR_ARENA
            place = server.get("enable_shm_tensor_arena").flag_place
            piece = "the tensor arena (a little over 2 GiB)"
            parts.append("the tensor arena")
    cache = server.get("mm_processor_cache_type")
    if cache.explicit and cache.known and cache.value == "shm":
        gib = server.get("mm_processor_cache_gb")
        amount = gib.value if gib.known and isinstance(gib.value, int | float) else _CACHE_GIB
        size += int(amount * _GIB)
        place = place or cache.place
        parts.append("the multimodal cache")
    if place is None:
        return None
    certain = server.release_certainty in {"certain", "contract"}
    return _Need(size, checked, piece, " and ".join(parts), place, certain)


def _queues(server: Server, ranks: Ranks) -> int:
    """Bytes of vLLM's message queues; 0 where another program or an unknown size makes them."""
    known = server.release.at_least(_CHECKED_SINCE) and "VLLM_MQ_MAX_CHUNK_BYTES_MB" not in server.env
    if not known or not runs_in_one_pod(server) or ranks.engine == 1:
        return 0
    return ranks.engines * (_BROADCAST_QUEUE + ranks.engine * _ANSWER_QUEUE)


def _gpu_note(server: Server) -> tuple[Related, ...]:
    """The GPUs beside the number of processes, where there are several."""
    several = [gpu for gpu in server.gpus if gpu.count is not None and gpu.count > 1]
    return tuple(Related(gpu.node.content, plural(gpu.count or 0, "GPU")) for gpu in several[:1])


def _advised(size: int) -> str:
    """A size limit with room: the next power of two of GiB above the need, at least 2Gi."""
    gib = 2
    while gib * _GIB < size * 1.25:
        gib *= 2
    return f"{gib}Gi"


def _human(size: float) -> str:
    """Bytes as people write them: `64 MiB`, `1.1 GiB`."""
    return f"{size / _GIB:.3g} GiB" if size >= _GIB else f"{size / _MIB:.0f} MiB"


def _pools(server: Server) -> bool:
    """Whether the model computes vectors, scores or transcripts instead of writing text."""
    if _POOLING_NAME.search(server.model.id):
        return True
    for name in ("task", "runner", "convert"):
        value = server.get(name)
        if value.explicit and value.value in _POOLING_TASKS:
            return True
    return server.get("pooler_config").explicit or server.get("override_pooler_config").explicit
