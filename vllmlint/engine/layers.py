"""What building the layers refuses, after the configuration passed (vllm-memory.md 4.1, 4.3, 4.4)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig, Refusal


def layer_refusal(config: EngineConfig) -> Refusal | None:
    """The first thing that building the model's layers refuses; None: nothing that is known."""
    return None
