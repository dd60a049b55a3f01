"""What a checkpoint's config says about its quantisation: method, schemes by module, modules left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.module_names import NameList, NameMatching
from vllmlint.models.quantization_methods import SchemeRule, rules_of
from vllmlint.models.schemes import EXPERTS_ONLY, WeightScheme
from vllmlint.record import record

#: What a module is to a quantisation method.
ModuleRole = Literal["linear", "experts", "lm_head", "embedding", "vision", "never"]


@record
class CheckpointQuantization:
    """How a checkpoint is quantised.

    `method` is vLLM's name (`fp8`, `gptq`, `awq`, `compressed-tensors`, `modelopt_fp4`, …), `declared` what
    the config says (`quant_method`, else `quant_algo`). `rules` are tried in order, `ignore` first.
    `kv_cache_dtype` is what the checkpoint asks for the KV cache (`fp8`), None where it asks nothing.
    `doubt` says why the schemes are not certain; empty where they are.
    """

    method: str
    declared: str
    rules: tuple[SchemeRule, ...]
    ignore: NameList
    quantizes_lm_head: bool = False
    kv_cache_dtype: str | None = None
    doubt: str = ""

    @property
    def main_scheme(self) -> WeightScheme | None:
        """The scheme of ordinary linear layers; of the first rule where there is no such."""
        general = next((rule.scheme for rule in self.rules if rule.targets is None), None)
        return general or next((rule.scheme for rule in self.rules), None)

    @property
    def schemes(self) -> tuple[WeightScheme, ...]:
        """Every scheme that the config names."""
        return tuple(rule.scheme for rule in self.rules if rule.scheme is not None)

    @property
    def _lists(self) -> list[NameList]:
        return [self.ignore, *(rule.targets for rule in self.rules if rule.targets is not None)]

    @property
    def varies_by_layer(self) -> bool:
        """Whether the same module may have another scheme in another layer."""
        return any(names.layer_groups is None or names.layer_groups for names in self._lists)

    def schemes_of(
        self, name: str, role: ModuleRole, layers: Sequence[int]
    ) -> dict[WeightScheme | None, int]:
        """In how many of some layers a module has which scheme; `*` in its name stands for the layer."""
        alike: dict[tuple[int | None, ...], list[int]] = {}
        groups = [names.layer_groups for names in self._lists if names.layer_groups != {}]
        for layer in layers:
            said = tuple(layer if group is None else group.get(layer) for group in groups)
            alike.setdefault(said, []).append(layer)
        counts: dict[WeightScheme | None, int] = {}
        for group in alike.values():
            scheme = self.scheme_of(name.replace("*", str(group[0]), 1), role)
            counts[scheme] = counts.get(scheme, 0) + len(group)
        return counts

    def scheme_of(self, name: str, role: ModuleRole = "linear") -> WeightScheme | None:
        """The scheme of a module by its name (`layers.3.mlp.down_proj`); None: in the model's dtype.

        Norms, routers, embeddings and vision towers stay in the model's dtype in every method
        (vllm-memory.md 1.3); so does `lm_head`, unless the config names it.
        """
        if role in ("never", "embedding", "vision") and self.method != "gguf":
            return None
        if role == "lm_head" and not self.quantizes_lm_head:
            return None
        if role == "linear" and self.method in EXPERTS_ONLY:
            return None
        spellings = (name, f"{name}.0.gate_proj", f"{name}.0.up_proj") if role == "experts" else (name,)
        if any(self.ignore.holds(spelling) for spelling in spellings):
            return None
        for rule in self.rules:
            if rule.targets is None or any(rule.targets.holds(spelling) for spelling in spellings):
                return rule.scheme
        return None


@lru_cache(maxsize=64)
def quantization_of(architecture: ModelArchitecture) -> CheckpointQuantization | None:
    """How a checkpoint is quantised; None where its config says nothing of it (then it is not).

    Reads `quantization_config` and the separate `hf_quant_config` of ModelOpt. A truncated list of modules
    (`…_count` larger than what is listed) is spread over all layers, and `doubt` says so.
    """
    config = architecture.part("quantization_config") or architecture.part("compression_config")
    separate = architecture.part("hf_quant_config")
    separate = separate.get("quantization") or separate
    if not config and not separate:
        return None
    method = _method(config, separate, architecture)
    declared = str(config.get("quant_method") or config.get("quant_algo") or separate.get("quant_algo") or "")
    rules, doubt = rules_of(method, config, separate, architecture)
    ignore = _ignore_list(method, config, separate)
    if not ignore.complete:
        doubt = doubt or "only part of the list of unquantised modules is known"
    elif method.startswith("modelopt") and not ignore.entries and not _plain_fp8(method, architecture):
        # ModelOpt always writes a list: lm_head at least
        doubt = doubt or "the list of unquantised modules is not recorded"
    return CheckpointQuantization(
        method=method,
        declared=declared,
        rules=rules,
        ignore=ignore,
        quantizes_lm_head=_quantizes_lm_head(method, config, rules),
        kv_cache_dtype=_kv_cache_dtype(config, separate),
        doubt=doubt,
    )


def _plain_fp8(method: str, architecture: ModelArchitecture) -> bool:
    """ModelOpt's fp8 form of a dense transformer: the recorded lists leave `lm_head` alone, nothing else."""
    hybrid = architecture.text("hybrid_override_pattern") or architecture.per_layer("layers_block_type")
    return method == "modelopt" and not architecture.is_moe and not hybrid


_ALGORITHMS = {
    "NVFP4": "modelopt_fp4",
    "NVFP4_AWQ": "modelopt_fp4",
    "W4A16_NVFP4": "modelopt_fp4",
    "MXFP8": "modelopt_mxfp8",
    "MIXED_PRECISION": "modelopt_mixed",
}


def _method(config: Mapping[str, Any], separate: Mapping[str, Any], architecture: ModelArchitecture) -> str:
    """vLLM's method: `quant_method`, refined by ModelOpt's algorithm and by the model's class."""
    declared = str(config.get("quant_method") or "").lower().replace("_", "-")
    algorithm = str(config.get("quant_algo") or separate.get("quant_algo") or "").upper()
    if declared == "fp8" and architecture.class_name.startswith(("DeepseekV4", "DeepSeekV4")):
        return "deepseek_v4_fp8"
    if declared in ("modelopt", "modelopt-fp4", "") or (declared == "fp8" and algorithm == "MIXED_PRECISION"):
        if declared == "" and not separate and "config_groups" not in config:
            # Llama's own fp8 checkpoints come from fbgemm; the algorithm is a label of the catalogue
            return "fbgemm_fp8" if architecture.id.startswith("meta-llama/") else "modelopt"
        return _ALGORITHMS.get(algorithm, "modelopt")
    names = {"compressed-tensors": "compressed-tensors", "auto-round": "inc", "intel/auto-round": "inc"}
    return names.get(declared, declared.replace("-", "_"))


#: How each method reads its list; the others read full names.
_MATCHING: Mapping[str, NameMatching] = {
    "awq": "substring",
    "awq_marlin": "substring",
    "auto_awq": "substring",
    "bitsandbytes": "substring",
    "gptq": "gptq",
    "gptq_marlin": "gptq",
    "auto_gptq": "gptq",
    "compressed-tensors": "regex",
    "quark": "regex",
    "modelopt": "wildcard",
    "modelopt_fp4": "wildcard",
    "modelopt_mxfp8": "wildcard",
    "modelopt_mixed": "wildcard",
}
_IGNORE_KEYS = (
    "ignore",
    "exclude_modules",
    "modules_to_not_convert",
    "ignored_layers",
    "llm_int8_skip_modules",
    "exclude",
)


def _ignore_list(method: str, config: Mapping[str, Any], separate: Mapping[str, Any]) -> NameList:
    matching = _MATCHING.get(method, "exact")
    if matching == "gptq":
        dynamic = config.get("dynamic")
        keys = dynamic if isinstance(dynamic, Mapping) else ()
        return NameList(tuple(key.removeprefix("-:") for key in keys if key.startswith("-:")), "gptq")
    for source in (config, separate):
        for key in _IGNORE_KEYS:
            entries = source.get(key)
            if isinstance(entries, list | tuple) and entries:
                stated = source.get(f"{key}_count")
                complete = not isinstance(stated, int) or stated <= len(entries)
                return NameList(tuple(str(entry) for entry in entries), matching, complete)
    return NameList((), matching)


def _quantizes_lm_head(method: str, config: Mapping[str, Any], rules: tuple[SchemeRule, ...]) -> bool:
    if method == "gguf" or config.get("lm_head") is True:
        return True
    return any(rule.targets is not None and rule.targets.holds("lm_head") for rule in rules)


def _kv_cache_dtype(config: Mapping[str, Any], separate: Mapping[str, Any]) -> str | None:
    """What the checkpoint asks for the KV cache: `fp8`, `nvfp4`; None where it asks nothing."""
    for source in (config, separate):
        algorithm = source.get("kv_cache_quant_algo") or source.get("kv_cache_scheme")
        if isinstance(algorithm, str) and algorithm:
            return algorithm.lower()
        if isinstance(algorithm, Mapping):
            return "fp8" if algorithm.get("num_bits") == 8 else "nvfp4"
    return None
