"""The model's dtype (`_get_and_verify_dtype` of `vllm/config/model.py`)."""

from __future__ import annotations

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given

_NAMES = {
    "half": "float16",
    "float16": "float16",
    "float": "float32",
    "float32": "float32",
    "bfloat16": "bfloat16",
}
#: Model types that vLLM does not run in float16 (`_FLOAT16_NOT_SUPPORTED_MODELS`, 0.9.1 on).
_NO_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
#: Another one, until 0.26.
_NO_FLOAT16_ONCE, _ONCE_UNTIL = frozenset({"plamo2"}), "0.27.0"
#: The first compute capability with bfloat16 (`CudaPlatform.supported_dtypes`).
AMPERE = 80
#: Before this release a float32 checkpoint ran in float16, and no family refused float16.
_FAMILIES_REFUSE_SINCE = "0.9.1"
#: From this release on a dtype that the GPU lacks is replaced; before, the worker refused it.
_FALLS_BACK_SINCE = "0.9.0"


def config_dtype(given: Given) -> str:
    """What the checkpoint states: `dtype`, `torch_dtype`, that of the vision tower, else float32."""
    architecture = given.architecture
    stated = architecture.get("torch_dtype") or architecture.get("dtype")
    if stated is None:
        stated = architecture.part("vision_config").get("torch_dtype")
    return _NAMES.get(str(stated).removeprefix("torch."), "float32")


def resolve_dtype(given: Given, pooling: bool) -> str:
    """The dtype the model runs in; RefusedError for one its family does not run in.

    bfloat16 asked for on an older GPU is not refused here but by the worker (`device.py`).
    """
    asked = (given.text("dtype") or "auto").lower()
    families = _NO_FLOAT16 if given.since(_ONCE_UNTIL) else _NO_FLOAT16 | _NO_FLOAT16_ONCE
    refusing = given.since(_FAMILIES_REFUSE_SINCE) and _whole_type(given) in families
    dtype = _automatic(given, pooling, refusing) if asked == "auto" else _NAMES.get(asked, asked)
    if dtype == "float16" and refusing:
        raise RefusedError(
            "float16-unsupported-model",
            f"The model type '{_whole_type(given)}' does not support float16. Reason: Numerical instability. "
            "Please use bfloat16 or float32 instead.",
            "dtype",
        )
    return dtype


def _whole_type(given: Given) -> str:
    return given.architecture.text("model_type")


def _automatic(given: Given, pooling: bool, refusing: bool) -> str:
    stated = config_dtype(given)
    supported = ["bfloat16", "float16", "float32"]
    if given.capability is not None and given.capability < AMPERE:
        supported.remove("bfloat16")
    if not given.since(_FAMILIES_REFUSE_SINCE):
        dtype = "float16" if stated == "float32" else stated
        return dtype if dtype in supported or not given.since(_FALLS_BACK_SINCE) else supported[0]
    if refusing:
        supported.remove("float16")
    preferred = "float16" if pooling and "float16" in supported else supported[0]
    if stated == "float32":
        return preferred
    return stated if stated in supported else preferred
