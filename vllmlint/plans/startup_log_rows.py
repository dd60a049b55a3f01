"""A start-up log as a calibration row: one JSON object a start, the keys that the accuracy report reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vllmlint.plans.startup_log import StartupLog

#: The keys of a row, in order; null means "not printed".
ROW_KEYS = (
    "id",
    "model",
    "model_notes",
    "vllm_version",
    "engine",
    "gpu",
    "gpu_mem_gib",
    "gpus_total",
    "tp",
    "pp",
    "dp",
    "ep",
    "max_model_len",
    "gpu_memory_utilization",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "speculative",
    "other_flags",
    "weights_gib",
    "kv_gib",
    "kv_tokens",
    "gpu_blocks",
    "block_size",
    "max_concurrency",
    "cudagraph_gib",
    "activation_gib",
    "non_torch_gib",
    "failed",
    "failure",
    "inferred",
    "source",
    "source_date",
)
#: Settings that have a key of their own; the rest goes to `other_flags`.
_OWN_KEY = frozenset(
    {
        "model",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "data_parallel_size",
        "enable_expert_parallel",
        "max_model_len",
        "gpu_memory_utilization",
        "dtype",
        "quantization",
        "kv_cache_dtype",
        "max_num_seqs",
        "max_num_batched_tokens",
        "enforce_eager",
        "speculative_config",
        "block_size",
    }
)


def calibration_row(
    log: StartupLog, *, gpu: str, row_id: str, source: str, source_date: str
) -> dict[str, Any]:
    """The log as a row. `gpu` names the card (a log does not), `source` says where the log is from.

    `non_torch_gib` is consumed memory less the weights where only that is printed, and `inferred` says so.
    """
    inferred: list[str] = []
    tensor, pipeline, data = (_size(log, f"{kind}_parallel_size") for kind in ("tensor", "pipeline", "data"))
    other = log.non_torch_gib
    if other is None and log.consumed_gib is not None and log.weights_gib is not None:
        other = round(log.consumed_gib - log.weights_gib, 4)
        inferred.append(f"non_torch = consumed {log.consumed_gib} - weights {log.weights_gib}")
    row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
    row.update(
        id=row_id,
        model=log.model,
        vllm_version=str(log.release) if log.release else None,
        engine=log.engine,
        gpu=gpu,
        gpu_mem_gib=log.total_gib,
        gpus_total=tensor * pipeline * data,
        tp=tensor,
        pp=pipeline,
        dp=data,
        ep=log.settings.get("enable_expert_parallel") is True,
        max_model_len=_known(log, "max_model_len"),
        gpu_memory_utilization=log.utilization,
        dtype=_known(log, "dtype"),
        quantization=_known(log, "quantization"),
        kv_cache_dtype=_known(log, "kv_cache_dtype"),
        max_num_seqs=_known(log, "max_num_seqs"),
        max_num_batched_tokens=_known(log, "max_num_batched_tokens"),
        enforce_eager=_known(log, "enforce_eager"),
        speculative=_speculative(log.settings.get("speculative_config")),
        other_flags=_other_flags(log.settings),
        weights_gib=log.weights_gib,
        kv_gib=log.kv_gib,
        kv_tokens=log.kv_tokens,
        gpu_blocks=log.gpu_blocks,
        block_size=log.settings.get("block_size", log.block_size),
        max_concurrency=log.max_concurrency,
        cudagraph_gib=log.graph_gib,
        activation_gib=log.activation_gib,
        non_torch_gib=other,
        failed=log.failure is not None,
        failure=log.failure.line if log.failure is not None else None,
        inferred=inferred,
        source=source,
        source_date=source_date,
    )
    return row


def row_text(row: Mapping[str, Any]) -> str:
    """A row as one line of JSON, newline included, keys in the order of the format."""
    return json.dumps({key: row.get(key) for key in ROW_KEYS}, ensure_ascii=False) + "\n"


def _known(log: StartupLog, name: str) -> Any:
    """A setting as resolved, else as given."""
    value = log.resolved.get(name)
    return value if value is not None else log.settings.get(name)


def _size(log: StartupLog, name: str) -> int:
    value = log.settings.get(name, log.resolved.get(name, 1))
    return value if isinstance(value, int) and value > 0 else 1


def _speculative(config: Any) -> str | None:
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except ValueError:
            return str(config)
    if not isinstance(config, Mapping):
        return None
    parts = [str(config.get("method") or "draft_model")]
    if config.get("num_speculative_tokens"):
        parts.append(f"{config['num_speculative_tokens']} tokens")
    if config.get("model"):
        parts.append(str(config["model"]))
    return ", ".join(parts)


def _other_flags(settings: Mapping[str, Any]) -> str | None:
    rest = [f"{name}={value!r}" for name, value in settings.items() if name not in _OWN_KEY]
    return "; ".join(rest) or None
