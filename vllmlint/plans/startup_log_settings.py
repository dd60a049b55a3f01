"""Settings in a vLLM start-up log: the arguments that were given, and the engine's configuration line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vllmlint.regex import regex

#: Since 0.8: the arguments that differ from their defaults, as a Python dictionary.
_NON_DEFAULT = regex(r"non-default args: (\{.*)")
#: Until 0.8: every argument, as a Namespace.
_NAMESPACE = regex(r"args: (Namespace\(.*)")
_CONFIG_LINE = regex(r"Initializing an? (?:V[01] )?LLM engine.*? with config: (.*)")
_BANNER_MODEL = regex(r"█\s+model\s+(\S+)\s*$|serving model (\S+)")
_LOADING_MODEL = regex(r"Starting to load model (\S+?)(?:\.\.\.|\s|$)")
#: An object in a printed value (`<CUDAGraphMode.PIECEWISE: 1>`, `<function serve at 0x7f00>`).
_OBJECT = regex(r"<([^<>'\"]*)>")
#: Names of the configuration line -> the engine setting they resolve.
_CONFIG_NAMES = {
    "model": "model",
    "dtype": "dtype",
    "max_seq_len": "max_model_len",
    "max_model_len": "max_model_len",
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "decode_context_parallel_size": "decode_context_parallel_size",
    "quantization": "quantization",
    "enforce_eager": "enforce_eager",
    "kv_cache_dtype": "kv_cache_dtype",
    "enable_prefix_caching": "enable_prefix_caching",
    "enable_chunked_prefill": "enable_chunked_prefill",
    "chunked_prefill_enabled": "enable_chunked_prefill",
    "load_format": "load_format",
}
_LIMITS = {
    "max_num_batched_tokens": (
        regex(r"Chunked prefill is enabled with max_num_batched_tokens=(\d+)"),
        regex(r"Defaulting max_num_batched_tokens to (\d+)"),
    ),
    "max_num_seqs": (regex(r"Defaulting max_num_seqs to (\d+)"),),
    "max_model_len": (
        regex(r"Auto-fit max_model_len: reduced from \d+ to (\d+)"),
        regex(r"Using max model len (\d+)"),
    ),
}
#: Arguments of the server that are no engine settings: left out of what a Namespace gives.
_NOT_ENGINE = frozenset(
    {"model_tag", "host", "port", "api_key", "dispatch_function", "subparser", "config", "uds"}
)


def argument_settings(lines: Iterable[str]) -> dict[str, Any]:
    """The arguments that were given, by vLLM's names; empty where the log does not print them.

    A Namespace (before 0.8) holds defaults too: only values that are set and no plain switch that is off
    are kept from it.
    """
    for line in lines:
        match = _NON_DEFAULT.search(line)
        if match:
            return {name: value for name, value in _literal(match[1]).items() if name not in _NOT_ENGINE}
        match = _NAMESPACE.search(line)
        if match:
            return _namespace(match[1])
    return {}


def _literal(text: str) -> dict[str, Any]:
    """A printed dictionary; entries that are no literals (objects) become their text."""
    try:
        tree = ast.parse(_balanced(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _pairs(text)
    if not isinstance(tree, ast.Dict):
        return {}
    found: dict[str, Any] = {}
    for key, value in zip(tree.keys, tree.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found[key.value] = _value(value)
    return found


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ast.unparse(node)


def _balanced(text: str) -> str:
    """The text up to the bracket that closes its first one, objects in it quoted; strings are skipped."""
    text = _OBJECT.sub(lambda match: repr(match[1]), text)
    depth, quote, escaped = 0, "", False
    for index, character in enumerate(text):
        if quote:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "{[(":
            depth += 1
        elif character in "}])":
            depth -= 1
            if depth == 0:
                return text[: index + 1]
    return text


def _pairs(text: str) -> dict[str, Any]:
    """Simple entries of a dictionary that is cut off; what stands in inner brackets is not one."""
    found: dict[str, Any] = {}
    text = re.sub(r"\{[^{}]*\}", "?", text[1:])
    for name, quoted, plain in re.findall(r"'(\w+)': (?:'([^']*)'|(-?[\d.]+|True|False|None)(?=[,}]))", text):
        found[name] = quoted if not plain else _plain(plain)
    return {name: value for name, value in found.items() if name not in _NOT_ENGINE}


def _plain(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _namespace(text: str) -> dict[str, Any]:
    try:
        call = ast.parse(_balanced(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = re.findall(r"(\w+)='?([^',()]*)'?[,)]", text)
        named = {name: _plain(value) for name, value in words}
    else:
        named = (
            {word.arg: _value(word.value) for word in call.keywords if word.arg}
            if isinstance(call, ast.Call)
            else {}
        )
    wanted = set(_CONFIG_NAMES) | {
        "gpu_memory_utilization",
        "max_num_seqs",
        "max_num_batched_tokens",
        "swap_space",
        "cpu_offload_gb",
        "enable_lora",
        "max_loras",
        "max_lora_rank",
        "block_size",
        "max_model_len",
    }
    return {
        name: value for name, value in named.items() if name in wanted and value not in (None, False, "auto")
    }


def engine_config(lines: Iterable[str]) -> dict[str, Any]:
    """What the engine's configuration line says, by the names of the settings; empty where there is none."""
    for line in lines:
        match = _CONFIG_LINE.search(line)
        if match is None:
            continue
        found: dict[str, Any] = {}
        for name, setting in _CONFIG_NAMES.items():
            value = re.search(rf"(?<![\w.]){name}=('[^']*'|[^,\s]+)", match[1])
            if value is not None and setting not in found:
                found[setting] = _config_value(value[1])
        return found
    return {}


def _config_value(text: str) -> Any:
    plain = text.strip("'")
    if plain.startswith("torch."):
        return plain.removeprefix("torch.")
    return _plain(plain) if text == plain else plain


def resolved_limits(lines: Iterable[str]) -> dict[str, int]:
    """Batch limits and length as vLLM resolved them, where it says so."""
    kept = list(lines)
    found: dict[str, int] = {}
    for name, patterns in _LIMITS.items():
        for pattern in patterns:
            match = next((found_ for line in kept if (found_ := pattern.search(line))), None)
            if match is not None:
                found[name] = int(match[1])
                break
    return found


def model_of(lines: Iterable[str], settings: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """The model that was served, as it was named."""
    for source in (settings, config):
        name = source.get("model")
        if isinstance(name, str) and name:
            return name
    for line in lines:
        match = _BANNER_MODEL.search(line) or _LOADING_MODEL.search(line)
        if match:
            return next(group for group in match.groups() if group)
    return None
