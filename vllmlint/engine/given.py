"""Reading the settings of a request: absent and None are the same, and types are checked once here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.engine.config import EngineRequest


class Given:
    """The settings and environment of a request, by vLLM's names."""

    def __init__(self, request: EngineRequest) -> None:
        self.request = request
        self.release = request.release
        self.architecture = request.architecture
        self.gpu = request.gpu

    def get(self, name: str) -> Any:
        """A setting as it was given; None where it was not."""
        return self.request.settings.get(name)

    def integer(self, name: str) -> int | None:
        """A whole number; None where it was not given (or is something else)."""
        value = self.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def size(self, name: str) -> int:
        """A parallel size: 1 where it was not given."""
        value = self.integer(name)
        return 1 if value is None else value

    def number(self, name: str) -> float | None:
        """A number; None where it was not given."""
        value = self.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, name: str) -> str | None:
        """A text; None where it was not given."""
        value = self.get(name)
        return value if isinstance(value, str) and value else None

    def flag(self, name: str) -> bool:
        """A switch; off where it was not given."""
        return self.get(name) is True

    def choice(self, name: str) -> bool | None:
        """A switch that vLLM decides by itself where it was not given (None)."""
        value = self.get(name)
        return value if isinstance(value, bool) else None

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A JSON setting, dashes of its keys as underscores; empty where it was not given."""
        value = self.get(name)
        if not isinstance(value, Mapping):
            return {}
        return {str(key).replace("-", "_"): entry for key, entry in value.items()}

    def env_flag(self, name: str) -> bool | None:
        """An environment variable that vLLM reads as a switch; None where it is not set."""
        value = self.request.env.get(name)
        return None if value is None else value.strip().lower() in ("1", "true")

    def since(self, version: str) -> bool:
        """Whether the release is `version` or newer."""
        return self.release.at_least(version)

    @property
    def capability(self) -> int | None:
        """Compute capability as vLLM counts it (8.9 is 89); None: not an NVIDIA GPU, or not known."""
        pair = self.gpu.compute_capability
        return None if pair is None else pair[0] * 10 + pair[1]
