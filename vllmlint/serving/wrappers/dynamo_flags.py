"""The flags of `python -m dynamo.vllm` that are Dynamo's own; all others are those of vLLM's engine.

Source: ai-dynamo/dynamo components/src/dynamo/vllm/backend_args.py and
components/src/dynamo/common/configuration/groups/runtime_args.py (2025-2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vllmlint.serving.words import Word


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Switches: no value follows. Each has a `--no-` form.
_SWITCHES: Final = _names(
    """
    is-prefill-worker is-decode-worker use-vllm-tokenizer route-to-encoder multimodal-encode-worker
    multimodal-worker multimodal-decode-worker multimodal-processor multimodal-encode-prefill-worker enable-
    multimodal frontend-decoding omni vae-use-slicing vae-use-tiling enable-layerwise-offload enable-cache-
    dit-summary enable-cpu-offload omni-enable-layerwise-offload omni-vae-use-slicing omni-vae-use-tiling
    omni-enable-cache-dit-summary omni-enable-cpu-offload omni-enforce-eager embedding-worker enable-local-
    indexer durable-kv-events fpm-trace gms-shadow-mode enable-rl exclude-tools-when-tool-choice-none dyn-
    enable-structural-tag multimodal-embedding-cache-publisher tcp-tls-insecure nats-tls-insecure version
    """
)
#: Flags that one value follows.
_VALUES: Final = _names(
    """
    disaggregation-mode sleep-mode-level mm-prompt-template stage-configs-path video-output-dir default-
    video-fps layerwise-num-gpu-layers boundary-ratio flow-shift diffusion-cache-backend diffusion-cache-
    config ulysses-degree ring-degree cfg-parallel-size omni-layerwise-num-gpu-layers omni-boundary-ratio
    omni-flow-shift omni-diffusion-cache-backend omni-diffusion-cache-config omni-ulysses-degree omni-ring-
    degree omni-cfg-parallel-size model-express-url namespace endpoint kv-state-endpoint discovery-backend
    store-kv request-plane response-plane event-plane dyn-tool-call-parser dyn-reasoning-parser dyn-default-
    thinking-mode dyn-structural-tag-scope dyn-structural-tag-schema dyn-structural-tag custom-jinja-
    template endpoint-types dyn-endpoint-types dump-config-to multimodal-embedding-cache-capacity-gb media-
    output-fs-url media-output-http-url health-check-payload engine-request-limit tcp-tls-cert-path tcp-tls-
    key-path tcp-tls-ca-cert-path tcp-tls-server-name tcp-tls-handshake-timeout tcp-tls-client-cert-path
    tcp-tls-client-key-path tcp-tls-client-ca-cert-path nats-tls-ca-cert-path nats-tls-client-cert-path
    nats-tls-client-key-path migration-limit benchmark-mode engine-config-json
    """
)
#: Flags that any number of values follows.
_LISTS: Final = frozenset({"connector", "output-modalities"})
#: Flags of further groups of Dynamo's, known by how they begin.
_PREFIXES: Final = ("dyn-", "benchmark-", "omni-", "gms-", "fpm-", "tcp-tls-", "nats-tls-")


def engine_words(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words that Dynamo hands on to vLLM's engine."""
    kept: list[Word] = []
    index = 0
    while index < len(words):
        text = words[index].text or ""
        name, assigned, _ = text.removeprefix("--").partition("=")
        name = name.replace("_", "-")
        index += 1
        if not text.startswith("--") or not _is_dynamos(name):
            kept.append(words[index - 1])
        elif not assigned and not _is_switch(name):
            limit = len(words) if name in _LISTS else index + 1
            while index < min(limit, len(words)) and not (words[index].text or "").startswith("--"):
                index += 1
    return tuple(kept)


def _is_dynamos(name: str) -> bool:
    plain = name.removeprefix("no-")
    return plain in _SWITCHES or plain in _VALUES or plain in _LISTS or plain.startswith(_PREFIXES)


def _is_switch(name: str) -> bool:
    return name.startswith("no-") or name in _SWITCHES
