"""Reading a vLLM start-up log: what was asked, what the memory profile found, and how it ended.

The lines changed with the releases; `LINES` names the releases of each shape. Whatever stands before a
message (time, process, logger, ANSI colours, a container runtime's prefix) does not matter. Where several
workers print a line, the worker with the least KV cache decides, as it does in vLLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vllmlint.plans.startup_log_settings import (
    argument_settings,
    engine_config,
    model_of,
    resolved_limits,
)
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.release import Release

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_COUNT = r"(\d[\d,]*)"
_GIB = _NUMBER + r"\s*Gi?B"
_ANSI = regex(r"\x1b\[[0-9;]*m")
#: Quantity -> the shapes of the line that states it, newest first.
LINES: dict[str, tuple[re.Pattern[str], ...]] = {
    # "Model loading took" since 0.8.0; "Loading model weights took 7.9692 GB" in 0.6 and 0.7
    "weights_gib": (
        regex(rf"Model loading took {_GIB}"),
        regex(rf"Loading model weights took {_GIB}"),
        regex(rf"Actual usage is {_GIB} for weight"),
        regex(rf"model weights take\s+{_GIB}"),
    ),
    # V0 line of 0.6.5 to 0.10; the debug line of V1 0.10.1 to 0.26; consumed memory since 0.27
    "activation_gib": (
        regex(rf"{_GIB} for peak activation"),
        regex(rf"PyTorch activation peak memory(?: takes)?\s+{_GIB}"),
    ),
    "non_torch_gib": (
        regex(rf"{_GIB} for non-torch memory"),
        regex(rf"non_torch_memory(?: takes)?[\s=]+{_GIB}"),
    ),
    # 0.6.0 to 0.6.4 print torch's whole peak, weights included
    "torch_peak_gib": (regex(rf"peak_torch_memory={_GIB}"),),
    "consumed_gib": (regex(rf"Actual usage is {_GIB} for consumed memory"),),
    "kv_gib": (
        regex(rf"Available KV cache memory: {_GIB}"),
        regex(rf"memory reserved for KV Cache is {_GIB}"),
        regex(rf"(?:available_kv_cache_memory\s+|kv_cache_size=){_GIB}"),
        regex(rf"Current kv cache memory in use is {_GIB}"),
    ),
    # the usage line of 0.10.1 to 0.11.0 gives the cache in bytes
    "kv_bytes": (regex(r"Current kv cache memory in use is (\d+) bytes"),),
    "kv_tokens": (regex(rf"(?:GPU|CUDA|GPU \+ host) KV cache size: {_COUNT} tokens"),),
    "gpu_blocks": (regex(rf"# (?:GPU|CUDA|cuda) blocks: {_COUNT}"),),
    "max_concurrency": (regex(rf"Maximum concurrency for {_COUNT} tokens per request: {_NUMBER}x"),),
    "graph_estimate_gib": (
        regex(rf"Estimated CUDA graph memory: {_GIB}"),
        regex(rf"CUDA graph pool memory: .*?{_GIB} \(estimated\)"),
    ),
    # "Graph capturing finished in 12 secs." says no amount before 0.6.4
    "graph_gib": (
        regex(rf"Graph capturing finished in [\d.]+ secs, took {_GIB}"),
        regex(rf"{_GIB} for CUDAGraph memory"),
        regex(rf"CUDA graph pool memory: {_GIB} \(actual\)"),
    ),
    "total_gib": (
        regex(rf"total_gpu_memory[\s(=]+{_GIB}"),
        regex(rf"Free memory on device\s*\S*\s*\({_NUMBER}/{_NUMBER} GiB\)"),
        regex(rf"total_memory={_GIB}"),
    ),
    "free_gib": (
        regex(rf"Free memory on device\s*\S*\s*\({_NUMBER}/"),
        regex(rf"worker init memory snapshot: .*?free_memory={_GIB}"),
    ),
    "utilization": (
        regex(rf"gpu_memory_utilization[\s(=]+{_NUMBER}"),
        regex(rf"[Dd]esired GPU memory utilization (?:is )?\({_NUMBER},"),
        regex(rf"current --gpu-memory-utilization={_NUMBER}"),
    ),
    "block_size": (regex(r"Setting attention block size to (\d+) tokens"),),
}
#: Failures, most telling first: kind, shape of the message.
_FAILURES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "kv-too-small",
        regex(
            rf"To serve at least one request with the models?'s max seq len\s+\({_COUNT}\),\s+\({_GIB} KV\s+"
            rf"cache is needed, which is larger than the available KV cache\s+memory \({_GIB}\)"
            r"(?:.*?estimated maximum model length is (\d+))?"
        ),
    ),
    (
        "kv-too-small",
        regex(
            rf"max seq len \({_COUNT}\) is larger than the maximum number of tokens that can be stored in "
            rf"KV cache \({_COUNT}\)"
        ),
    ),
    ("no-kv-memory", regex(r"No available memory for the cache blocks")),
    ("no-kv-memory", regex(r"Cannot auto-fit max_model_len")),
    (
        "free-memory",
        regex(rf"Free memory on device\s*\S*\s*\({_NUMBER}/{_NUMBER} GiB\) on startup\s+is less than"),
    ),
    (
        "out-of-memory",
        regex(r"(?:CUDA|HIP) out of memory\.? Tried to allocate (\d+(?:\.\d+)?) ([MG]iB)"),
    ),
    ("out-of-memory", regex(r"CUDA error: out of memory|cudaErrorMemoryAllocation|OutOfMemoryError")),
)
_RELEASES = (
    regex(r"Initializing an? (?:V[01] )?LLM engine \(v([^)\s]+)\)"),
    regex(r"vLLM (?:API )?server version (v?\d[^\s,]*)"),
    regex(r"(?<!\w)version (\d+\.\d+\.\d\S*)"),
    regex(r"\bvLLM Version\s*:\s*(\d\S*)"),
)
_BACKENDS = (
    regex(r"Using (?:AttentionBackendEnum\.)?([A-Z][A-Z0-9_]+) (?:attention )?backend"),
    regex(r"Using (Flash Attention|FlashInfer|Triton) backend"),
)
_GRAPH_PROFILING = "Profiling CUDA graph memory"
_CAPTURING = regex(r"Capturing (?:CUDA graphs?|the model for CUDA ?graphs?)|Graph capturing|cudagraph")
_LOADING = regex(r"Starting to load model|Loading safetensors|Loading weights")
#: What every line that is read has in it; a server's log is mostly other lines.
_MARKS = regex(
    r"LLM engine|erver version|version \d|vLLM Version|args: |█|oading|load model|weights? take|Actual usage"
    r"|KV [Cc]ache|kv_cache|_memory|blocks: |Maximum concurrency|CUDA graph|cudagraph|raph captur|Capturing"
    r"|block size|on device|emory utilization|gpu-memory-utilization|memory snapshot|backend|ax seq len"
    r"|cache blocks|auto-fit|Auto-fit|out of memory|OutOfMemory|cudaErrorMemory|Chunked prefill|Defaulting"
    r"|max model len|vllm/v1/"
)
#: A log longer than this many characters is read from its start only: start-up lies there.
MAX_LOG_CHARACTERS = 20_000_000


@record
class LogFailure:
    """How a start ended that failed: `kind` (`kv-too-small`, `no-kv-memory`, `free-memory`,
    `out-of-memory`), at which `stage` (`init`, `load`, `profile`, `kv`, `graphs`), the message's line, and
    its numbers in GiB and tokens where it has them."""

    kind: str
    stage: str
    line: str
    needed_gib: float | None = None
    available_gib: float | None = None
    estimated_max_model_len: int | None = None
    max_model_len: int | None = None


@record
class StartupLog:
    """One start-up as its log tells it; None stands for "not printed", never for 0 or a default.

    `settings` are the arguments that were given, by vLLM's names; `resolved` what the engine printed of
    its configuration. GiB are per GPU, of the worker with the least KV cache. `engine` is `v0` or `v1`.
    """

    release: Release | None
    engine: str | None
    model: str | None
    settings: Mapping[str, Any]
    resolved: Mapping[str, Any]
    total_gib: float | None
    free_gib: float | None
    utilization: float | None
    weights_gib: float | None
    activation_gib: float | None
    non_torch_gib: float | None
    consumed_gib: float | None
    kv_gib: float | None
    kv_tokens: int | None
    gpu_blocks: int | None
    block_size: int | None
    max_concurrency: float | None
    concurrency_length: int | None
    graph_estimate_gib: float | None
    graph_gib: float | None
    attention_backend: str | None
    failure: LogFailure | None

    @property
    def recognised(self) -> bool:
        """Whether anything of a start-up was found at all."""
        return any((self.release, self.model, self.weights_gib, self.kv_gib, self.kv_tokens, self.failure))


def read_startup_log(text: str) -> StartupLog:
    """The start-up that a log's text tells of; the last one where it holds several."""
    plain = _ANSI.sub("", text[:MAX_LOG_CHARACTERS])
    lines = _last_start([line for line in plain.splitlines() if _MARKS.search(line)])
    joined = "\n".join(lines)
    values = {name: _values(lines, patterns) for name, patterns in LINES.items()}
    config = engine_config(lines)
    settings = argument_settings(lines)
    resolved = {**config, **resolved_limits(lines)}
    release = _release(lines)
    concurrency = LINES["max_concurrency"][0].search(joined)
    return StartupLog(
        release=release,
        engine=_engine(lines, release),
        model=model_of(lines, settings, config),
        settings=settings,
        resolved=resolved,
        total_gib=_total(joined),
        free_gib=_least(values["free_gib"]),
        utilization=_first_known(settings.get("gpu_memory_utilization"), _least(values["utilization"])),
        weights_gib=_most(values["weights_gib"]),
        activation_gib=_activation(values),
        non_torch_gib=_most(values["non_torch_gib"]),
        consumed_gib=_most(values["consumed_gib"]),
        kv_gib=_first_known(_least(values["kv_gib"]), _gib(_least(values["kv_bytes"]))),
        kv_tokens=_count(values["kv_tokens"]),
        gpu_blocks=_count(values["gpu_blocks"]),
        block_size=_count(values["block_size"]),
        max_concurrency=float(concurrency[2]) if concurrency else None,
        concurrency_length=int(concurrency[1].replace(",", "")) if concurrency else None,
        graph_estimate_gib=_most(values["graph_estimate_gib"]),
        graph_gib=_most(values["graph_gib"]),
        attention_backend=_backend(lines),
        failure=_failure(lines, joined),
    )


def _last_start(lines: list[str]) -> list[str]:
    """The lines from the last server start on: a restarted container appends to one log."""
    starts = [
        number
        for number, line in enumerate(lines)
        if re.search(r"vLLM (?:API )?server version|version \d+\.\d+\.\d+\s*$", line)
    ]
    return lines[starts[-1] :] if starts else lines


def _values(lines: Iterable[str], patterns: tuple[re.Pattern[str], ...]) -> list[float]:
    """Every value of the newest shape that occurs, in order (one for each worker)."""
    kept = list(lines)
    for pattern in patterns:
        found = [match[1] for line in kept if (match := pattern.search(line))]
        if found:
            return [float(text.replace(",", "")) for text in found]
    return []


def _least(values: list[float]) -> float | None:
    return min(values) if values else None


def _most(values: list[float]) -> float | None:
    return max(values) if values else None


def _activation(values: Mapping[str, list[float]]) -> float | None:
    """The peak above the weights: as printed, else torch's whole peak less the weights."""
    printed, peak, weights = (
        _most(values[name]) for name in ("activation_gib", "torch_peak_gib", "weights_gib")
    )
    if printed is None and peak is not None and weights is not None:
        return round(peak - weights, 4)
    return printed


def _count(values: list[float]) -> int | None:
    return int(min(values)) if values else None


def _gib(amount: float | None) -> float | None:
    return None if amount is None else round(amount / (1 << 30), 4)


def _first_known(*values: Any) -> float | None:
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def _total(text: str) -> float | None:
    for pattern in LINES["total_gib"]:
        match = pattern.search(text)
        if match:
            return float(match[match.lastindex or 1])
    return None


def _release(lines: list[str]) -> Release | None:
    for pattern in _RELEASES:
        for line in lines:
            match = pattern.search(line)
            found = Release.parse(match[1].rstrip(").,")) if match else None
            if found is not None:
                return found
    return None


def _engine(lines: list[str], release: Release | None) -> str | None:
    for line in lines:
        match = re.search(r"Initializing an? (V[01] )?LLM engine", line)
        if match:
            return match[1].strip().lower() if match[1] else "v0"
        if "Initializing a V1 LLM engine" in line or "vllm/v1/" in line:
            return "v1"
    if release is None:
        return None
    if release.at_least("0.11.0"):
        return "v1"
    return "v0" if not release.at_least("0.8.0") else None


def _backend(lines: list[str]) -> str | None:
    for pattern in _BACKENDS:
        for line in lines:
            match = pattern.search(line)
            if match:
                return match[1].upper().replace("FLASH ATTENTION", "FLASH_ATTN").replace(" ", "_")
    return None


def _failure(lines: list[str], text: str) -> LogFailure | None:
    for kind, pattern in _FAILURES:
        match = pattern.search(text)
        if match is None:
            continue
        number = text.count("\n", 0, match.start())
        line = lines[number].strip()
        stage = (
            "init" if kind == "free-memory" else "kv" if kind != "out-of-memory" else _stage(lines[:number])
        )
        return _with_numbers(kind, stage, line, match)
    return None


def _with_numbers(kind: str, stage: str, line: str, match: re.Match[str]) -> LogFailure:
    if kind != "kv-too-small":
        return LogFailure(kind, stage, line)
    length = int(match[1].replace(",", ""))
    if len(match.groups()) == 2:
        return LogFailure(
            kind, stage, line, estimated_max_model_len=int(match[2].replace(",", "")), max_model_len=length
        )
    estimate = int(match[4]) if match[4] else None
    return LogFailure(kind, stage, line, float(match[2]), float(match[3]), estimate, length)


def _stage(before: list[str]) -> str:
    """How far a start had come before a line: the stage that ran out of memory."""
    text = "\n".join(before)
    allocated = any(pattern.search(text) for pattern in (*LINES["kv_tokens"], *LINES["gpu_blocks"]))
    sized = LINES["kv_gib"][0].search(text) is not None and _CAPTURING.search(text) is not None
    if allocated or sized or _GRAPH_PROFILING in text:
        return "graphs"
    if any(pattern.search(text) for pattern in LINES["weights_gib"]):
        return "profile"
    return "load" if _LOADING.search(text) else "init"
