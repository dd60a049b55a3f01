"""Requests for tests: models of the catalogue on GPUs named by their card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.engine.config import EngineConfig, EngineRequest, Refusal
from vllmlint.engine.resolve import resolve
from vllmlint.hardware.gpu import Gpu
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.serving.release import Release

GPUS = {
    "V100": Gpu("v100", "Tesla V100-SXM2-16GB", "nvidia", 15.77, (7, 0)),
    "T4": Gpu("t4", "Tesla T4", "nvidia", 14.6, (7, 5)),
    "A100-40": Gpu("a100-40", "NVIDIA A100-SXM4-40GB", "nvidia", 39.5, (8, 0)),
    "A100": Gpu("a100", "NVIDIA A100-SXM4-80GB", "nvidia", 79.25, (8, 0)),
    "L4": Gpu("l4", "NVIDIA L4", "nvidia", 22.05, (8, 9)),
    "L40S": Gpu("l40s", "NVIDIA L40S", "nvidia", 44.4, (8, 9)),
    "H100": Gpu("h100", "NVIDIA H100 80GB HBM3", "nvidia", 79.19, (9, 0)),
    "H200": Gpu("h200", "NVIDIA H200", "nvidia", 139.8, (9, 0)),
    "B200": Gpu("b200", "NVIDIA B200", "nvidia", 178.35, (10, 0)),
    "GB10": Gpu("gb10", "NVIDIA GB10", "nvidia", 119.7, (12, 1)),
}


def request(
    release: str,
    model: str | ModelArchitecture,
    gpu: str = "H100",
    *,
    config: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    gpus_per_node: int | None = 8,
    **settings: Any,
) -> EngineRequest:
    """A request; `config` changes fields of the model's config.json (None takes one away)."""
    architecture = find_architecture(model) if isinstance(model, str) else model
    assert architecture is not None, model
    if config:
        fields = {**architecture.fields, **config}
        kept = {key: value for key, value in fields.items() if value is not None}
        architecture = ModelArchitecture(architecture.id, kept)
    parsed = Release.parse(release)
    assert parsed is not None
    return EngineRequest(parsed, architecture, GPUS[gpu], settings, env or {}, gpus_per_node)


def resolved(*args: Any, **settings: Any) -> EngineConfig:
    """What a request resolves to; fails where it is refused."""
    outcome = resolve(request(*args, **settings))
    assert isinstance(outcome, EngineConfig), outcome
    return outcome


def refused(*args: Any, **settings: Any) -> Refusal:
    """Why a request is refused; fails where it is not."""
    outcome = resolve(request(*args, **settings))
    assert isinstance(outcome, Refusal), outcome
    return outcome
