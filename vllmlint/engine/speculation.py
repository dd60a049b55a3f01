"""Speculative decoding, as far as the configuration decides it (`vllm/config/speculative.py`)."""

from __future__ import annotations

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.model_class import ModelClass
from vllmlint.record import record

_NGRAM = frozenset({"ngram", "[ngram]", "ngram_gpu"})
#: Methods that need no draft model of their own (`SpeculativeConfig.__post_init__`).
_SELF_DRAFTING = frozenset({"ngram", "ngram_gpu", "suffix"})
#: Methods with which V1 schedules asynchronously (`EagleModelTypes`, `NgramGPUTypes`).
ASYNC_METHODS = frozenset({"eagle", "eagle3", "mtp", "extract_hidden_states", "dflash", "ngram_gpu"})
#: `num_speculative_tokens` of MTP where it is not given: the modules the checkpoint has.
_MTP_KEYS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "n_predict")


#: Model types with modules that draft, and the first release that uses them
#: (`SpeculativeConfig.hf_config_override`, 0.7.3 - 0.33.0).
_MTP_TYPES = {
    "deepseek_v3": "0.7.3",
    **dict.fromkeys(("ernie4_5_moe", "qwen3_next"), "0.10.2"),
    **dict.fromkeys(("deepseek_v32", "longcat_flash"), "0.11.0"),
    "pangu_ultra_moe": "0.11.2",
    "exaone_moe": "0.14.0",
    **dict.fromkeys(("glm_moe_dsa", "step3p5"), "0.16.0"),
    **dict.fromkeys(("nemotron_h", "qwen3_5", "qwen3_5_moe"), "0.17.0"),
    "nemotron_h_puzzle": "0.19.0",
    **dict.fromkeys(("deepseek_v4", "exaone4_5", "hy_v3"), "0.20.0"),
    **dict.fromkeys(("intern_s2_preview", "qwen3_5_moe_text"), "0.22.0"),
    "step3p7": "0.23.0",
    "minimax_m3_vl": "0.24.0",
    "bailing_hybrid": "0.25.0",
    **dict.fromkeys(("inkling_mm_model", "inkling_model"), "0.26.0"),
    "kimi_k3": "0.27.0",
    **dict.fromkeys(("dots3_note", "interns2_mobius", "qwen3_5_text"), "0.28.0"),
    **dict.fromkeys(("hy_v4", "qwen4_exp", "qwen4_exp_text"), "0.29.0"),
    "glm5_next": "0.30.0",
    **dict.fromkeys(("step5", "step5_vl"), "0.33.0"),
}
_MTP_CLASSES = {
    "MiMoForCausalLM": "0.9.0",
    "Glm4MoeForCausalLM": "0.10.0",
    **dict.fromkeys(("Glm4MoeLiteForCausalLM", "GlmOcrForConditionalGeneration"), "0.16.0"),
    **dict.fromkeys(("MiMoV2FlashForCausalLM", "MiMoV2ForCausalLM", "MiMoV2OmniForCausalLM"), "0.21.0"),
    **dict.fromkeys(("Step3p5ForCausalLM", "Step3p7ForConditionalGeneration"), "0.23.0"),
    "BailingMoeV2_5ForCausalLM": "0.25.0",
}


@record
class Speculation:
    """`method` as vLLM names it (empty: none), `tokens` drafted a step, `draft` the draft model's id."""

    method: str
    tokens: int
    draft: str = ""
    disable_padded_drafter_batch: bool = False


NO_SPECULATION = Speculation("", 0)


def resolve_speculation(given: Given, model: ModelClass) -> Speculation:
    """What `--speculative-config` (or the older flags) asks for; RefusedError for one that cannot be."""
    config = dict(given.mapping("speculative_config"))
    for flag, key in (("spec_method", "method"), ("spec_model", "model"), ("spec_tokens", _TOKENS)):
        if given.get(flag) is not None:
            config.setdefault(key, given.get(flag))
    if given.text("speculative_model") is not None:
        config.setdefault("model", given.text("speculative_model"))
        config.setdefault(_TOKENS, given.integer(_TOKENS))
    if not config:
        return NO_SPECULATION
    draft = config.get("model") or ""
    method = _method(str(config.get("method") or ""), str(draft))
    if method == "mtp" and not draft and model.pools and not model.generates:
        raise RefusedError(
            "runner-unsupported",
            "Embedding models do not support `--runner draft`.",
            "speculative_config",
        )
    if method == "mtp" and not draft and not has_mtp(given):
        raise RefusedError(
            "speculative-method-unsupported",
            f"Unsupported speculative method: '{method}'",
            "speculative_config",
        )
    tokens = config.get(_TOKENS)
    if not isinstance(tokens, int):
        tokens = _predicted(given) if method == "mtp" else None
    if tokens is None and (method in _SELF_DRAFTING or (method == "mtp" and not draft)):
        raise RefusedError(
            "num-speculative-tokens-missing",
            "num_speculative_tokens must be provided with speculative model unless the draft model config "
            "contains an n_predict parameter.",
            "speculative_config",
        )
    return Speculation(method, tokens or 0, str(draft), config.get("disable_padded_drafter_batch") is True)


_TOKENS = "num_speculative_tokens"


def _method(method: str, draft: str) -> str:
    if method in ("ngram", "[ngram]") or (not method and draft in _NGRAM):
        return "ngram"
    if method.endswith("_mtp"):
        return "mtp"
    if method:
        return method
    lowered = draft.lower()
    return next((name for name in ("eagle3", "eagle", "medusa") if name in lowered), "draft_model")


def has_mtp(given: Given) -> bool:
    """Whether the release drafts with the checkpoint's own modules: it goes by the model's type."""
    architecture = given.architecture
    since = _MTP_TYPES.get(architecture.text("model_type")) or _MTP_CLASSES.get(architecture.class_name)
    return since is not None and given.since(since)


def _predicted(given: Given) -> int | None:
    values = (given.architecture.integer(key) for key in _MTP_KEYS)
    return next((value for value in values if value), None)
