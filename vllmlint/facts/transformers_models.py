"""What the Transformers library knows of models: its classes and the defaults of its configurations."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _data() -> dict[str, Any]:
    path = Path(__file__).with_name("transformers_models.json")
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def is_transformers_class(name: str) -> bool:
    """Whether Transformers has a class of that name which vLLM's Transformers backend can run."""
    return name in _data()["classes"]


def default_max_position_embeddings(model_type: str) -> int | None:
    """What `max_position_embeddings` is where a config.json of that `model_type` leaves it out."""
    value: int | None = _data()["max_position_embeddings"].get(model_type)
    return value
