"""Command lines as the releases' own parsers read them (cases of the spec's sections 1 and 2)."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.serving.arg_errors import RefusedValueError
from vllmlint.serving.arg_values import human_int
from vllmlint.serving.arguments import ParsedArguments, parse_arguments
from vllmlint.serving.flag_tables import Entrypoint
from vllmlint.serving.release import Release

M = "Qwen/Qwen3-8B"


def parse(
    words: str | list[str | None], tag: str, entrypoint: Entrypoint = "serve", **more: Any
) -> ParsedArguments:
    release = Release.parse(tag)
    assert release is not None
    return parse_arguments(words.split() if isinstance(words, str) else words, release, entrypoint, **more)


def kinds(parsed: ParsedArguments) -> list[str]:
    return [error.kind for error in parsed.errors]


#: Words, release, key, value.
VALUES: list[tuple[str | list[str | None], str, str, Any]] = [
    # spellings
    (f"{M} --tensor-parallel-size 2", "0.33.0", "tensor_parallel_size", 2),
    (f"{M} --tensor_parallel_size=2", "0.6.6", "tensor_parallel_size", 2),
    (f"{M} -tp 2", "0.33.0", "tensor_parallel_size", 2),
    (f"{M} -tp=2", "0.33.0", "tensor_parallel_size", 2),
    (f"{M} -t 2", "0.33.0", "tensor_parallel_size", 2),
    (f"{M} --tensor-parallel 2", "0.33.0", "tensor_parallel_size", 2),
    (f"{M} --gpu-memory 0.9", "0.33.0", "gpu_memory_utilization", 0.9),
    (f"{M} -qfp8", "0.33.0", "quantization", "fp8"),
    (f"{M} -tp 2 --tensor-parallel-size 4", "0.33.0", "tensor_parallel_size", 4),
    # human numbers
    (f"{M} --max-model-len 32k", "0.8.4", "max_model_len", 32000),
    (f"{M} --max-model-len 32K", "0.33.0", "max_model_len", 32768),
    (f"{M} --max-model-len 1.5k", "0.33.0", "max_model_len", 1500),
    (f"{M} --max-model-len -1", "0.6.6", "max_model_len", -1),
    (f"{M} --max-model-len AUTO", "0.14.0", "max_model_len", -1),
    (f"{M} --max-num-batched-tokens 8k", "0.9.1", "max_num_batched_tokens", 8000),
    (f"{M} --kv-cache-memory-bytes 1t", "0.13.0", "kv_cache_memory_bytes", 10**12),
    ([M, "--max-model-len", " 1_000 "], "0.33.0", "max_model_len", 1000),
    # lists
    (f"{M} --served-model-name a b --port 1", "0.33.0", "served_model_name", ["a", "b"]),
    (f"{M} --api-key sk", "0.10.0", "api_key", "sk"),
    (f"{M} --api-key a b", "0.10.1", "api_key", ["a", "b"]),
    (f"{M} --middleware a.B --middleware c.D", "0.33.0", "middleware", ["a.B", "c.D"]),
    (f"{M} --lora-modules a=/x", "0.33.0", "lora_modules", [{"name": "a", "path": "/x"}]),
    (f"{M} --hf-token", "0.33.0", "hf_token", True),
    (f"{M} --device-ids 0,GPU-1", "0.33.0", "device_ids", [0, "GPU-1"]),
    # switches
    (f"{M} --no-enable-prefix-caching", "0.33.0", "enable_prefix_caching", False),
    (f"{M} --disable-prefix-caching", "0.33.0", "enable_prefix_caching", False),
    (f"{M} --disable-log-requests", "0.33.0", "enable_log_requests", False),
    (f"{M} --enable-chunked-prefill=false", "0.8.4", "enable_chunked_prefill", False),
    (f"{M} --enable-chunked-prefill", "0.8.4", "enable_chunked_prefill", True),
    # choices and free text
    (f"{M} --block-size 24", "0.18.0", "block_size", 24),
    (f"{M} --quantization nope", "0.9.2", "quantization", "nope"),
    (f"{M} --kv-cache-dtype nope", "0.33.0", "kv_cache_dtype", "nope"),
    (f"{M} --moe-backend DEEP-GEMM", "0.33.0", "moe_backend", "deep_gemm"),
    (f"{M} --dcp-comm-backend None", "0.31.0", "dcp_comm_backend", None),
    # JSON
    ([M, "--hf-overrides", "x"], "0.9.0", "hf_overrides", "x"),
    ([M, "--hf-overrides", '{"a": 1}'], "0.8.5", "hf_overrides", {"a": 1}),
    (f"{M} --limit-mm-per-prompt image=2,Video=1", "0.8.4", "limit_mm_per_prompt", {"image": 2, "video": 1}),
    (f"{M} --limit-mm-per-prompt image=2", "0.9.2", "limit_mm_per_prompt", {"image": 2}),
    (f"{M} --hf-overrides.a.b 1 --hf-overrides.c=x", "0.9.0", "hf_overrides", {"a": {"b": 1}, "c": "x"}),
    (f"{M} --compilation-config.custom_ops+ a,b", "0.9.2", "compilation_config", {"custom_ops": ["a", "b"]}),
    (f"{M} --additional-config.a 80g", "0.20.0", "additional_config", {"a": 80 * 10**9}),
    (f"{M} --additional-config.a 80g", "0.18.1", "additional_config", {"a": "80g"}),
    (f"{M} --compil.mode 3", "0.33.0", "compilation_config", {"mode": 3}),
    (
        [M, "--compilation-config", '{"mode": 3}', "--compilation-config.cudagraph_mode", "NONE"],
        "0.33.0",
        "compilation_config",
        {"cudagraph_mode": "NONE"},
    ),
    (
        f"{M} -cc.mode=3 --compilation-config.cudagraph_mode=NONE",
        "0.33.0",
        "compilation_config",
        {"cudagraph_mode": "NONE"},
    ),
    # -O through the releases
    (f"{M} -O3", "0.6.6", "compilation_config", {"level": 3}),
    (f"{M} --compilation-config 3", "0.8.5", "compilation_config", {"level": 3}),
    ([M, "-O", "{'level': 3}"], "0.8.5", "compilation_config", {"level": 3}),
    (f"{M} -O 3", "0.9.2", "compilation_config", {"level": 3}),
    (f"{M} -O.level=3", "0.11.0", "compilation_config", {"level": 3}),
    (f"{M} -O3", "0.11.2", "compilation_config", {"mode": 3}),
    (f"{M} -O3", "0.12.0", "optimization_level", "3"),
    (f"{M} -O.mode=3", "0.12.0", "compilation_config", {"mode": 3}),
    (f"{M} -O.mode=3", "0.13.0", "optimization_level", ".mode=3"),
    (f"{M} -Odecode", "0.33.0", "optimization_level", "decode"),
]


@pytest.mark.parametrize(("words", "tag", "key", "value"), VALUES)
def test_values(words: str | list[str | None], tag: str, key: str, value: Any) -> None:
    parsed = parse(words, tag)
    assert parsed.errors == []
    assert parsed.get(key) == value
    assert type(parsed.get(key)) is type(value)
    assert parsed.model == M


#: Words, release, entrypoint, kind of the first error.
ERRORS: list[tuple[str | list[str | None], str, Entrypoint, str]] = [
    (f"{M} --swap-space 4", "0.18.0", "serve", "unrecognized"),
    (f"{M} -tp2", "0.33.0", "serve", "unrecognized"),
    (f"{M} --tp 2", "0.33.0", "serve", "unrecognized"),
    (f"{M} -cc.mode=3", "0.11.2", "serve", "unrecognized"),
    (f"{M} -O 5", "0.12.0", "serve", "unrecognized"),
    (f"{M} -O", "0.12.0", "serve", "unrecognized"),
    (f"{M} -O.level=3", "0.8.5", "serve", "exception"),
    (f"{M} --max-num", "0.33.0", "serve", "ambiguous"),
    (f"{M} --device cpu", "0.33.0", "serve", "ambiguous"),
    (f"{M} --enforce-eager=true", "0.33.0", "serve", "takes_no_value"),
    (f"{M} -ep=true", "0.33.0", "serve", "takes_no_value"),
    (f"{M} --enforce-eager true", "0.33.0", "serve", "unrecognized"),
    (f"{M} --no-enforce-eager", "0.8.4", "serve", "unrecognized"),
    (f"{M} --port", "0.33.0", "serve", "needs_value"),
    (f"{M} --tensor-parallel-size -1k", "0.33.0", "serve", "needs_value"),
    (f"{M} --api-key --port 1", "0.33.0", "serve", "needs_value"),
    (f"{M} --port x", "0.33.0", "serve", "invalid_value"),
    (f"{M} --max-model-len 1.5K", "0.33.0", "serve", "invalid_value"),
    (f"{M} --max-model-len 32k", "0.8.3", "serve", "invalid_value"),
    (f"{M} --max-model-len auto", "0.13.0", "serve", "invalid_value"),
    (f"{M} --kv-cache-memory-bytes 1t", "0.12.0", "serve", "invalid_value"),
    (f"{M} --limit-mm-per-prompt image=2", "0.10.0", "serve", "invalid_value"),
    (f"{M} --limit-mm-per-prompt image", "0.8.4", "serve", "invalid_value"),
    (f"{M} --limit-mm-per-prompt a=1,a=2", "0.8.4", "serve", "invalid_value"),
    (f"{M} --limit-mm-per-prompt a=x", "0.8.4", "serve", "invalid_value"),
    ([M, "--hf-overrides", "{a: 1}"], "0.33.0", "serve", "invalid_value"),
    (f"{M} --compilation-config 3", "0.9.0", "serve", "invalid_value"),
    (f"{M} --allowed-origins *", "0.33.0", "serve", "invalid_value"),
    (f"{M} --dtype fp16", "0.33.0", "serve", "invalid_choice"),
    (f"{M} --block-size 24", "0.17.1", "serve", "invalid_choice"),
    (f"{M} --quantization nope", "0.9.1", "serve", "invalid_choice"),
    (f"{M} --distributed-executor-backend None", "0.8.5", "serve", "invalid_choice"),
    (f"{M} --lora-modules a", "0.33.0", "serve", "usage"),
    ([M, "--lora-modules", '{"name": "a"}'], "0.33.0", "serve", "usage"),
    (f"{M} --prompt-adapters a", "0.6.6", "serve", "exception"),
    (f"{M} --enable-chunked-prefill=1", "0.6.6", "serve", "exception"),
    (f"{M} --hf-overrides.a", "0.33.0", "serve", "exception"),
    (f"{M} --gpu-memory-utilization -0.5", "0.33.0", "serve", "exception"),
    (f"{M} --help", "0.33.0", "serve", "exit"),
    (f"serve {M}", "0.33.0", "serve", "unrecognized"),
    (f"{M} --enable-auto-tool-choice", "0.33.0", "serve", "exception"),
    (f"{M} --enable-log-outputs", "0.33.0", "serve", "exception"),
    (f"{M} --headless --api-server-count 2", "0.33.0", "serve", "exception"),
    (f"{M} --data-parallel-external-lb -dph", "0.33.0", "serve", "exception"),
    (f"{M} -dpm", "0.33.0", "module", "exception"),
    (f"{M} --data-parallel-start-rank 1", "0.9.2", "serve", "exception"),
    (f"{M} --enable-reasoning", "0.8.5", "serve", "exception"),
    ([M, "--reasoning-effort-map", '{"a": 1}'], "0.33.0", "serve", "exception"),
    # the model
    ("", "0.8.2", "serve", "required"),
    (f"{M} --model other", "0.8.2", "serve", "exception"),
    (f"--model {M}", "0.8.3", "serve", "exception"),
    (f"{M} --model other", "0.11.1", "serve", "unrecognized"),
    ("--model", "0.33.0", "serve", "exception"),
    (f"--served-model-name a --port 1 {M}", "0.17.0", "serve", "exception"),
    (M, "0.9.2", "module", "unrecognized"),
    (f"--headless --model {M}", "0.9.2", "module", "unrecognized"),
    # objects of JSON flags
    ([M, "--compilation-config", '{"nope": 1}'], "0.13.0", "serve", "invalid_value"),
    ([M, "--kv-transfer-config", '{"nope": 1}'], "0.16.0", "serve", "invalid_value"),
    ([M, "--kv-transfer-config", '{"kv_connector": "x"}'], "0.10.2", "serve", "invalid_value"),
    ([M, "--compilation-config", '{"pass_config": {"nope": true}}'], "0.33.0", "serve", "invalid_value"),
    ([M, "--compilation-config", '{"cudagraph_mode": "NOPE"}'], "0.33.0", "serve", "exception"),
    ([M, "--compilation-config", '{"mode": "nope"}'], "0.33.0", "serve", "invalid_value"),
    ([M, "--profiler-config", '{"profiler": "torch"}'], "0.33.0", "serve", "invalid_value"),
    ([M, "--attention-config", '{"backend": "NOPE"}'], "0.33.0", "serve", "invalid_value"),
    ([M, "--eplb-config", '{"window_size": "x"}'], "0.33.0", "serve", "invalid_value"),
    ([M, "--override-pooler-config", '{"a": 1}'], "0.8.5", "serve", "invalid_value"),
    ([M, "--kv-transfer-config", '{"kv_connector": "NixlConnector"}'], "0.6.6", "serve", "invalid_value"),
]


@pytest.mark.parametrize(("words", "tag", "entrypoint", "kind"), ERRORS)
def test_errors(words: str | list[str | None], tag: str, entrypoint: Entrypoint, kind: str) -> None:
    parsed = parse(words, tag, entrypoint)
    assert kinds(parsed)[:1] == [kind]


#: Words, release, entrypoint, model, its source.
MODELS: list[tuple[str, str, Entrypoint, str | None, str | None]] = [
    (M, "0.33.0", "serve", M, "positional"),
    (f"--port 1 {M}", "0.33.0", "serve", M, "positional"),
    (f"--port 1 --model {M} -tp 2", "0.33.0", "serve", M, "option"),
    (f"--model={M}", "0.9.2", "serve", M, "option"),
    (f"{M} --model=other", "0.9.2", "serve", M, "positional"),
    (f"--model {M}", "0.6.6", "module", M, "option"),
    (M, "0.10.0", "module", "Qwen/Qwen3-0.6B", "default"),
    ("", "0.33.0", "serve", "Qwen/Qwen3-0.6B", "default"),
    ("", "0.9.2", "module", "facebook/opt-125m", "default"),
    (f"--served-model-name a b {M}", "0.16.0", "serve", "Qwen/Qwen3-0.6B", "default"),
]


@pytest.mark.parametrize(("words", "tag", "entrypoint", "model", "source"), MODELS)
def test_models(words: str, tag: str, entrypoint: Entrypoint, model: str | None, source: str | None) -> None:
    parsed = parse(words, tag, entrypoint)
    assert (parsed.model, parsed.model_source) == (model, source)
    if source in ("positional", "option"):
        assert parsed.model_word is not None
        assert parsed.model_span is not None
        start, end = parsed.model_span
        assert words.split()[parsed.model_word][start:end] == model


def test_effective_value_falls_back_to_the_default() -> None:
    parsed = parse(M, "0.33.0")
    assert parsed.effective("gpu_memory_utilization") == 0.92
    assert parse(M, "0.19.1").effective("gpu_memory_utilization") == 0.9
    assert parse(f"{M} --port 1", "0.33.0").effective("port") == 1
    assert parsed.effective("no_such") is None


@pytest.mark.parametrize("text", ["1.5K", "10 k", ".5k", "1e3", "1kb", "", "k"])
def test_texts_that_are_no_human_number(text: str) -> None:
    with pytest.raises((ValueError, RefusedValueError)):
        human_int(text)
