"""How a step of the resolution says that vLLM refuses."""

from __future__ import annotations

from vllmlint.engine.config import Refusal, RefusalStage


class RefusedError(Exception):
    """Carries the refusal to the place that returns it; the first one raised is what vLLM would say."""

    def __init__(self, rule: str, message: str, *settings: str, stage: RefusalStage = "config") -> None:
        super().__init__(message)
        self.refusal = Refusal(rule, message, stage, settings)
