"""Section args: settings that contradict each other, or that are not what they look like."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vllmlint.checks._args import is_split_later, judgement, servers_by_default
from vllmlint.checks._purpose import is_trial
from vllmlint.finding import Edit, Finding, Fix, Related
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.flag_tables import env_table, flag_table
from vllmlint.serving.server import Server
from vllmlint.serving.value import Value
from vllmlint.world import World

#: The parser for tool calls by what the model's name holds, the more special first (vLLM docs, tool calling).
_TOOL_PARSERS = (
    ("qwen3-coder", "qwen3_coder"),
    ("qwen", "hermes"),
    ("hermes", "hermes"),
    ("llama-4", "llama4_pythonic"),
    ("llama-3", "llama3_json"),
    ("mistral", "mistral"),
    ("gpt-oss", "openai"),
    ("deepseek-v3.1", "deepseek_v31"),
    ("deepseek-v3", "deepseek_v3"),
    ("kimi-k2", "kimi_k2"),
    ("glm-4.5", "glm45"),
    ("granite-4", "granite4"),
    ("granite", "granite"),
)
#: Numbers in front of a `k` that are a power of two in common context lengths.
_POWERS = frozenset({"4", "8", "16", "32", "64", "128", "256", "512"})
_WITH_SUFFIX = regex(r"\s*(\d+)([kK])\s*")
#: Engines up to this release (V0) chunk prompts by themselves only above this context length.
_V1_SINCE, _V0_CHUNKS_ABOVE = "0.8.0", 32768
#: From this release on the whole of a prompt must fit the budget when chunking is off (spec, section 3).
_CHECKED_SINCE = "0.12.0"
_LORA_UPDATES = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
#: Parameters below this many millions make a model whose speed nobody minds.
_TINY_MILLIONS = 1000
_SIZE = regex(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([mMbB])(?![a-zA-Z0-9])")
#: Accelerators that have CUDA graphs.
_WITH_GRAPHS = frozenset({"cuda", "rocm"})
#: Images for hardware that has none.
_WITHOUT_GRAPHS = regex(r"(?<![a-z])(?:cpu|xpu|tpu|hpu|gaudi|neuron|spyre)(?![a-z])", re.IGNORECASE)


def tool_choice_without_parser(server: Server, world: World) -> Iterator[Finding]:
    """`--enable-auto-tool-choice` without the parser it needs."""
    choice, parser = server.get("enable_auto_tool_choice"), server.get("tool_call_parser")
    if not choice.known or choice.value is not True or not parser.known or parser.value:
        return
    if is_split_later(server):
        return
    guess = _tool_parser(server)
    example = f"`--tool-call-parser={guess}`" if guess else "`--tool-call-parser=…`"
    yield Finding(
        choice.flag_place or server.anchor,
        "`--enable-auto-tool-choice` requires `--tool-call-parser`: vLLM exits with a TypeError before it "
        "loads anything, and the pod restarts forever",
        f"Add {example}, the parser for the format in which this model writes its calls."
        if guess
        else f"Add {example} with the parser for the format in which this model writes its calls.",
        "needs --tool-call-parser",
    )


def _tool_parser(server: Server) -> str | None:
    """The parser that goes with the model's name, where this release has it."""
    name = server.model.id.lower().replace("_", "-")
    found = next((parser for part, parser in _TOOL_PARSERS if part in name), None)
    spec = flag_table(server.release).get("tool_call_parser")
    known = (*spec.known, *spec.choices) if spec is not None else ()
    return found if found in known else None


def batch_limits_inconsistent(server: Server, world: World) -> Iterator[Finding]:
    """Limits of the scheduler that its own check refuses together."""
    tokens, seqs = _limit(server, "max_num_batched_tokens"), _limit(server, "max_num_seqs")
    length, active = _limit(server, "max_model_len"), _limit(server, "max_num_active_seqs")
    if tokens is not None and seqs is not None and tokens.value < seqs.value:
        yield _inconsistent(
            (tokens, "max_num_batched_tokens"),
            (seqs, "max_num_seqs"),
            "each sequence takes at least one token of a step",
            f"Write `--max-num-batched-tokens={max(2048, seqs.value)}` or more, or fewer sequences.",
        )
    if tokens is not None and length is not None and tokens.value < length.value and _never_chunks(server):
        yield _inconsistent(
            (tokens, "max_num_batched_tokens"),
            (length, "max_model_len"),
            "without chunked prefill a whole prompt must fit into one step",
            f"Write `--max-num-batched-tokens={length.value}`, or turn on `--enable-chunked-prefill`.",
        )
    if active is not None and seqs is not None and active.value > seqs.value:
        yield _inconsistent(
            (active, "max_num_active_seqs"),
            (seqs, "max_num_seqs"),
            "no more sequences can be active than are scheduled",
            f"Write `--max-num-active-seqs={seqs.value}` or less.",
            "larger",
        )
    some, long = _limit(server, "max_num_partial_prefills"), _limit(server, "max_long_partial_prefills")
    if some is not None and long is not None and long.value > some.value:
        yield _inconsistent(
            (long, "max_long_partial_prefills"),
            (some, "max_num_partial_prefills"),
            "the long ones are some of them",
            f"Write `--max-long-partial-prefills={some.value}` or less.",
            "larger",
        )


def _limit(server: Server, name: str) -> Value | None:
    """A limit that is written and known."""
    value = server.get(name)
    usable = value.explicit and value.known and isinstance(value.value, int) and value.value > 0
    return value if usable and not isinstance(value.value, bool) else None


def _never_chunks(server: Server) -> bool:
    """Whether prompts are certainly not chunked."""
    chunked, length = server.get("enable_chunked_prefill"), server.integer("max_model_len")
    release = server.release
    if chunked.explicit:
        return (
            chunked.known and chunked.value is False and (_is_v0(server) or release.at_least(_CHECKED_SINCE))
        )
    return chunked.known and _is_v0(server) and length is not None and length <= _V0_CHUNKS_ABOVE


def _is_v0(server: Server) -> bool:
    """Whether the V0 engine runs for certain."""
    variable = server.env.get("VLLM_USE_V1")
    return not server.release.at_least(_V1_SINCE) and (variable is None or variable.value == "0")


def _inconsistent(
    one: tuple[Value, str], other: tuple[Value, str], because: str, advice: str, how: str = "smaller"
) -> Finding:
    flag, second = (f"--{name.replace('_', '-')}" for _, name in (one, other))
    place, related = one[0].place, other[0].place
    assert place is not None
    return Finding(
        place,
        f"`{flag}` ({one[0].value}) is {how} than `{second}` ({other[0].value}): {because}, so vLLM exits "
        "with a ValueError at start, and the pod restarts forever",
        advice,
        f"{how} than {second}",
        related=(Related(related, f"{second} is {other[0].value}"),) if related is not None else (),
    )


def max_model_len_unit_case(server: Server, world: World) -> Iterator[Finding]:
    """`128k`, which is 128000 tokens and not 131072."""
    suffixes = {name: _suffix(server, name) for name in ("max_model_len", "max_num_batched_tokens")}
    length = suffixes["max_model_len"]
    other = suffixes["max_num_batched_tokens"]
    if length is None:
        return
    setting, number, unit, place = length
    mixed = other is not None and other[1] == number and other[2] != unit
    if unit == "K" and not mixed:
        return
    if number not in _POWERS and not mixed:
        return
    decimal, binary = int(number) * 1000, int(number) * 1024
    meaning = decimal if unit == "k" else binary
    fix = None
    if place.text.strip() == f"{number}{unit}":
        fix = Fix(f"write {meaning}", (Edit(place, str(meaning)),), safe=True)
    related = (
        (Related(other[3], f"{int(number) * (1000 if other[2] == 'k' else 1024)} tokens"),)
        if mixed and other is not None
        else ()
    )
    yield Finding(
        place,
        f"`{number}{unit}` is {meaning} tokens: a small `k` counts 1000 and a capital `K` 1024, and "
        f"requests of {min(decimal, binary) + 1} to {max(decimal, binary)} tokens pass in one spelling only",
        f"Write the number you mean: `{setting.spelling} {decimal}` or `{setting.spelling} {binary}`.",
        f"{meaning} tokens",
        related=related,
        fix=fix,
    )


def _suffix(server: Server, name: str) -> tuple[Setting, str, str, Place] | None:
    """The number and the suffix of a setting as it is written, with its characters."""
    setting = server.arguments.settings.get(name)
    if setting is None or not setting.known or setting.from_config or len(setting.value_words) != 1:
        return None
    text = server.invocation.words[setting.value_words[0]].text
    if text is None or setting.value_span is None:
        return None
    match = _WITH_SUFFIX.fullmatch(text[slice(*setting.value_span)])
    return (setting, match[1], match[2], server.value_place(setting)) if match is not None else None


def enforce_eager_in_production(server: Server, world: World) -> Iterator[Finding]:
    """`--enforce-eager` on a server that has users."""
    eager = server.get("enforce_eager")
    if not eager.explicit or not server.is_set("enforce_eager") or is_trial(server, world):
        return
    kinds = {gpu.accelerator.kind for gpu in server.gpus}
    if (not kinds and not server.has_claims and server.workload.carrier == "plain") or (
        kinds and not kinds & _WITH_GRAPHS
    ):
        return
    if server.image is not None and _WITHOUT_GRAPHS.search(server.image.reference) is not None:
        return
    # a prefill instance computes long prompts, where graphs gain little, and some connectors want eager mode
    if server.get("kv_transfer_config").explicit or _is_tiny(server.model.id):
        return
    yield Finding(
        eager.flag_place or server.anchor,
        "`--enforce-eager` turns off CUDA graphs and torch.compile: every decoding step pays for launching "
        "its kernels one by one, and tokens come slower, most of all with few requests and small models",
        "Remove it, and give the startupProbe the time that compiling takes; where memory is short, a "
        "smaller `--max-num-seqs` leaves fewer graphs.",
        "no CUDA graphs",
        confidence="medium",
        assumptions=("it is not there because this model or GPU cannot be compiled",),
    )


def _is_tiny(model: str) -> bool:
    """Whether the name tells a model of less than a billion parameters."""
    match = _SIZE.search(model.replace("-", " ").replace("_", " "))
    if match is None:
        return "tiny" in model.lower()
    millions = float(match[1]) * (1 if match[2] in "mM" else 1000)
    return millions < _TINY_MILLIONS


def kv_bytes_overrides_utilization(server: Server, world: World) -> Iterator[Finding]:
    """`--gpu-memory-utilization` beside `--kv-cache-memory-bytes`, which replaces it."""
    size, share = server.get("kv_cache_memory_bytes"), server.get("gpu_memory_utilization")
    if not (size.explicit and size.known and size.value) or not share.explicit or share.flag_place is None:
        return
    yield Finding(
        share.flag_place,
        "`--gpu-memory-utilization` does not size the KV cache while `--kv-cache-memory-bytes` is set: the "
        "cache is as large as that says, on every GPU this manifest is copied to",
        "Keep one: the share where GPUs differ, the bytes where the cache must have one exact size.",
        "does not size the KV cache",
        related=(Related(size.place, "this sizes the KV cache"),) if size.place is not None else (),
    )


def runtime_lora_with_many_api_servers(server: Server, world: World) -> Iterator[Finding]:
    """Loading of LoRA adapters at run time with more than one API server."""
    variable = server.env.get(_LORA_UPDATES)
    spec = env_table(server.release).get(_LORA_UPDATES)
    if variable is None or spec is None or variable.value not in spec.true or server.is_headless:
        return
    if server.arguments.entrypoint != "serve" or flag_table(server.release).get("api_server_count") is None:
        return
    count, ranks = server.get("api_server_count"), server.get("data_parallel_size")
    if count.explicit:
        number, place = count.value if count.known else None, count.place
    else:
        number, place = servers_by_default(server), ranks.place
    if not isinstance(number, int) or number <= 1 or place is None:
        return
    judged = judgement(server)
    cause = "" if count.explicit else ", one for each data parallel rank"
    yield Finding(
        place,
        f"{_LORA_UPDATES} does not work with {number} API servers{cause}: an adapter would be loaded into "
        "one of them only, so vLLM exits with a ValueError at start, and the pod restarts forever",
        f"Write `--api-server-count=1`, or remove {_LORA_UPDATES}.",
        f"{number} API servers",
        confidence=judged.at_least("high").confidence if count.explicit else judged.confidence,
        assumptions=() if count.explicit else judged.assumptions,
        related=(Related(variable.name_node.content, "adapters change at run time"),)
        if variable.name_node.source is place.source
        else (),
    )
