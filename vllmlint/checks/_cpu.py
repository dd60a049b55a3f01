"""Servers that compute on the CPU."""

from __future__ import annotations

import re

from vllmlint.regex import regex
from vllmlint.serving.server import Server

#: A build for the CPU, by the words of its repository or tag (vllm/vllm-openai-cpu, …/vllm:0.33.0-cpu).
_CPU_BUILD = regex(r"[-_/:.]cpu(?=[-_:./@]|\Z)", re.IGNORECASE)


def is_cpu_build(server: Server) -> bool:
    """Whether the image's name says that its vLLM computes on the CPU."""
    image = server.image
    return image is not None and not image.unresolved and _CPU_BUILD.search(image.reference) is not None
