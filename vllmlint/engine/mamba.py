"""State caches of Mamba and linear attention layers (`MambaModelConfig` of `models/config.py`)."""

from __future__ import annotations

from vllmlint.engine.batch import Prefill
from vllmlint.engine.config import ModelRunner
from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass
from vllmlint.engine.speculation import Speculation
from vllmlint.record import record

#: What `--mamba-ssm-cache-dtype` may be (`MambaDType` of `vllm/config/cache.py`), by first release.
_STATE_DTYPES = (
    ("0.6.0", frozenset({"auto", "float32"})),
    ("0.13.0", frozenset({"auto", "float32", "float16"})),
    ("0.22.0", frozenset({"auto", "float32", "float16", "bfloat16"})),
)


@record
class Mamba:
    """`cache_mode`: `none`, `align` or `all`; `prefix_caching` as it stands after the model's hook;
    `ssm_cache_dtype` as vLLM names it (`auto`: the model's dtype)."""

    cache_mode: str
    prefix_caching: bool
    ssm_cache_dtype: str


def resolve_mamba(
    given: Given, model: ModelClass, engine: ModelRunner, prefill: Prefill, speculation: Speculation
) -> Mamba:
    """The mode of the state cache; RefusedError for one that needs chunked prefill."""
    dtype = _state_dtype(given, model)
    stateful = model.hybrid or model.attention_free
    if not stateful or engine == "v0":
        return Mamba("none", prefill.prefix_caching, dtype)
    if not prefill.prefix_caching:
        return Mamba("none", prefix_caching=False, ssm_cache_dtype=dtype)
    if not given.since("0.16.0"):
        kept = model.mamba_prefix_caching and given.since("0.11.0")
        return Mamba("all" if kept else "none", kept, dtype)
    mode = _mode(given, model, speculation)
    if (mode == "align" or given.since("0.32.0")) and not prefill.chunked:
        raise RefusedError(
            "mamba-prefix-caching-without-chunked-prefill",
            "Chunked prefill is required for Mamba prefix caching.",
            "enable_chunked_prefill",
            "enable_prefix_caching",
        )
    return Mamba(mode, prefix_caching=True, ssm_cache_dtype=dtype)


def check_state_dtype(given: Given) -> None:
    """`--mamba-ssm-cache-dtype` is one that the release knows (`MambaDType`)."""
    dtype = given.text("mamba_ssm_cache_dtype") or "auto"
    known = next((names for since, names in reversed(_STATE_DTYPES) if given.since(since)), None)
    if known is not None and dtype not in known:
        raise RefusedError(
            "mamba-ssm-cache-dtype-unknown",
            f"mamba_ssm_cache_dtype should be one of {', '.join(sorted(known))}, not {dtype}",
            "mamba_ssm_cache_dtype",
        )


def _mode(given: Given, model: ModelClass, speculation: Speculation) -> str:
    asked = given.text("mamba_cache_mode") or "none"
    if asked == "none":
        if not given.since("0.28.0"):
            drafts = speculation.tokens > 0 and not given.since("0.22.0")
            asked = "all" if model.mamba_prefix_caching and not drafts else "align"
        else:
            asked = "align"
    if asked == "all" and (not model.mamba_prefix_caching or given.since("0.32.0")):
        return "align"
    return asked


def _state_dtype(given: Given, model: ModelClass) -> str:
    asked = given.text("mamba_ssm_cache_dtype") or "auto"
    if asked != "auto":
        return asked
    if model.name.startswith("NemotronH") and given.since("0.12.0"):
        default = "float32" if given.since("0.20.0") else "float16"
        return given.architecture.text("mamba_ssm_cache_dtype") or default
    if model.name.startswith(("Qwen3_5", "Qwen4Exp")):
        return given.architecture.text("mamba_ssm_dtype") or "auto"
    return "auto"
