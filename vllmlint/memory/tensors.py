"""The tensors that the fullest rank of a pipeline stage holds, as vLLM's layers fuse and keep them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.allocator import allocated_bytes
from vllmlint.memory.band import Band, Term
from vllmlint.memory.expert_padding import Padding, mxfp4_paddings
from vllmlint.memory.linear_bytes import dtype_bytes, linear_parts
from vllmlint.memory.quantized import effective_quantization
from vllmlint.memory.ranks import LocalShape, language_model_only, local_shape, rank_layers, ranks_of
from vllmlint.models.modules import Module, modules_of
from vllmlint.models.schemes import WeightScheme
from vllmlint.record import record

GIB = 1 << 30
FP32_BYTES = 4
#: How a doubtful config is read: as it stands, or with the most or the fewest modules quantised.
Reading = Literal["stated", "most", "fewest"]
#: GPUs below this capability have no fp8 arithmetic: vLLM repacks fp8 weights for Marlin.
_FP8_CAPABILITY = (8, 9)
#: Blocks of the allocator depend on the order of allocations, and kernels keep small workspaces of their own.
_SPREAD = 0.003
#: What the parts of the sum are called.
EMBEDDINGS, LINEAR, EXPERTS = "embeddings and head", "linear layers", "experts"
ABSORBED, OTHERS, VISION = "absorbed latent attention", "norms, routers and others", "vision tower"
PARTS = (EMBEDDINGS, LINEAR, EXPERTS, ABSORBED, OTHERS, VISION)
#: Which modules of a checkpoint lie in one tensor of vLLM's, by the last part of their names.
_FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
    "in_proj_qkv": "in_proj_qkvz",
    "in_proj_z": "in_proj_qkvz",
    "q_a_proj": "fused_qkv_a_proj",
    "kv_a_proj_with_mqa": "fused_qkv_a_proj",
}


def part_of(module: Module) -> str:
    """Which part of the sum a module belongs to."""
    if module.part in ("vision", "audio"):
        return VISION
    if module.name.endswith(".absorbed"):
        return ABSORBED
    names = {"embedding": EMBEDDINGS, "lm_head": EMBEDDINGS, "experts": EXPERTS, "linear": LINEAR}
    return names.get(module.role, OTHERS)


def fused_name(name: str) -> str:
    """The name of the tensor that a module lies in."""
    head, _, last = name.rpartition(".")
    return f"{head}.{_FUSED.get(last, last)}"


@record
class Tensor:
    """One weight of vLLM's, `times` over: what it takes in bytes (weights, scales, bias, …), once for each
    kernel that may be chosen, the likeliest first. `sure`: False where it may not be on this stage."""

    part: str
    times: int
    sure: bool
    kernels: tuple[tuple[int, ...], ...]
    shown: tuple[str, ...]

    def joined(self, other: Tensor) -> Tensor:
        """Two modules in one tensor."""
        pairs = zip(self.kernels, other.kernels, strict=True)
        added = tuple(tuple(map(sum, zip(mine, yours, strict=True))) for mine, yours in pairs)
        return Tensor(self.part, self.times, self.sure, added, (*self.shown, *other.shown))

    def sizes(self) -> list[float]:
        """All bytes as the allocator counts them, once for each kernel."""
        return [self.times * sum(map(allocated_bytes, pieces)) for pieces in self.kernels]


def stage_tensors(config: EngineConfig, stage: int) -> list[Tensor]:
    """Everything that the fullest rank of a stage holds, MTP layers, tables and adapters aside."""
    return _Book(config, stage).tensors()


def stage_terms(config: EngineConfig, stage: int, reading: Reading = "stated") -> list[Term]:
    """The parts of a stage's sum, each with its tensors."""
    tensors = _Book(config, stage, reading).tensors()
    return [_term(name, [tensor for tensor in tensors if tensor.part == name]) for name in PARTS]


def _term(name: str, tensors: Sequence[Tensor]) -> Term:
    low = mid = high = 0.0
    reasons: dict[str, None] = {}
    for tensor in tensors:
        sizes = tensor.sizes()
        low += min(sizes) if tensor.sure else 0.0
        mid, high = mid + sizes[0], high + max(sizes)
        if not tensor.sure:
            reasons["the tower may be on the first stage only"] = None
        if len(set(sizes)) > 1:
            reasons["which kernel of the experts is chosen"] = None
    shown = "; ".join(text for tensor in tensors for text in tensor.shown)
    reason = "; ".join([*reasons, "order of allocations, kernel workspaces"])
    return Term(name, Band(low * (1 - _SPREAD) / GIB, mid / GIB, high * (1 + _SPREAD) / GIB, reason), shown)


def _plain_where_doubtful(module: Module) -> bool:
    """Whether checkpoints are known to leave such a module alone: token mixers and shared experts."""
    return module.role == "linear" and ("mlp." not in module.name or "shared" in module.name)


class _Book:
    """The modules of one stage with what each takes on its fullest rank."""

    def __init__(self, config: EngineConfig, stage: int, reading: Reading = "stated") -> None:
        self.config = config
        self.reading = reading
        self.ranks = ranks_of(config)
        self.layers = rank_layers(config, stage)
        self.first, self.last = stage == 0, stage == config.pipeline_parallel_size - 1
        self.plain = dtype_bytes(config.dtype)
        self.quantization = effective_quantization(config)
        self.paddings = mxfp4_paddings(config)
        capability = config.gpu.compute_capability
        self.repacked = capability is not None and capability < _FP8_CAPABILITY

    def tensors(self) -> list[Tensor]:
        """What the stage holds, modules that vLLM fuses (q, k and v; gate and up) as one tensor."""
        found: dict[tuple[object, ...], Tensor] = {}
        for module in modules_of(self.config.architecture):
            if module.part == "mtp":
                continue
            count, sure = self._times(module)
            if not count:
                continue
            for times, scheme in self._schemes(module, count):
                tensor = self._tensor(module, times, scheme, sure)
                key = (fused_name(module.name), module.layers, times, scheme, tensor.part)
                found[key] = found[key].joined(tensor) if key in found else tensor
        return list(found.values())

    def _times(self, module: Module) -> tuple[int, bool]:
        """How often this stage holds a module, and whether that is sure."""
        if module.role == "lm_head" and self.config.runner_type == "pooling":
            return 0, True  # adapted to pool, a generative model loses its head
        if module.role == "vision":
            if language_model_only(self.config):
                return 0, True
            # most models build the tower on every stage, some on the first alone
            return max(1, len(module.layers)), self.first
        if module.layers:
            everywhere = self.first and self.last
            return len(module.layers) if everywhere else len(self._here(module)), True
        here = {"first": self.first, "last": self.last, "tied": self.first or self.last}
        return int(here.get(module.place, True)), True

    def _here(self, module: Module) -> Sequence[int]:
        return [layer for layer in module.layers if layer in self.layers]

    def _schemes(self, module: Module, count: int) -> Iterator[tuple[int, WeightScheme | None]]:
        """How often each scheme applies to a module's layers on this stage."""
        found = self.quantization
        if found is None or module.role in ("never", "vision"):
            yield count, None
            return
        if self.reading == "most" and module.role in ("linear", "experts"):
            yield count, min(found.schemes, key=lambda scheme: scheme.bits, default=None)
            return
        if self.reading == "fewest" and _plain_where_doubtful(module):
            yield count, None
            return
        if not module.layers:
            yield count, found.scheme_of(module.quant_name, module.role)
            return
        for scheme, times in found.schemes_of(module.quant_name, module.role, self._here(module)).items():
            yield times, scheme

    def _tensor(self, module: Module, times: int, scheme: WeightScheme | None, sure: bool) -> Tensor:
        shape = local_shape(module, self.ranks)
        plain = module.dtype_bytes or self.plain
        pieces = [self._pieces(shape, scheme, plain)]
        if module.role == "experts" and scheme is not None and scheme.format == "mxfp4":
            pieces = [self._kernel_pieces(module, shape, padding, scheme) for padding in self.paddings]
        elif module.role == "experts" and scheme is None and self.config.gpu.vendor == "amd":
            pieces = [self._pieces(_stretched(shape, plain), None, plain), *pieces]
        text = _shown(module, shape, times, scheme, plain)
        return Tensor(part_of(module), times, sure, tuple(pieces), (text,))

    def _pieces(self, shape: LocalShape, scheme: WeightScheme | None, plain: int) -> tuple[int, ...]:
        weights, scales = linear_parts(shape.out_features, shape.in_features, scheme, plain, self.repacked)
        return shape.copies * weights, shape.copies * scales, shape.copies * shape.bias * plain

    def _kernel_pieces(
        self, module: Module, shape: LocalShape, padding: Padding, scheme: WeightScheme
    ) -> tuple[int, ...]:
        wide = _padded(module, shape, padding)
        weights, scales, bias = self._pieces(wide, scheme, self.plain)
        if padding.fp32_bias:
            bias = bias // self.plain * FP32_BYTES
        if not padding.swizzled_scales:
            return weights, scales, bias
        rows = -(-wide.out_features // padding.swizzled_scales) * padding.swizzled_scales
        again = wide.copies * linear_parts(rows, wide.in_features, scheme, self.plain)[1]
        return weights, scales, bias, again


#: ROCm kernels read rows of experts that lie this many bytes further apart than they are long, where their
#: length is a multiple of 512 bytes (VLLM_ROCM_MOE_PADDING, on by default; AITER kernels do without).
_ROCM_GAP, _ROCM_ROW = 256, 512


def _stretched(shape: LocalShape, plain: int) -> LocalShape:
    if shape.in_features * plain % _ROCM_ROW:
        return shape
    return LocalShape(shape.copies, shape.out_features, shape.in_features + _ROCM_GAP // plain, shape.bias)


def _padded(module: Module, shape: LocalShape, padding: Padding) -> LocalShape:
    """An expert's matrix with its inner side and its hidden side rounded up."""

    def up(size: int, to: int) -> int:
        return -(-size // to) * to

    if module.shard == "in":
        out, into = up(shape.out_features, padding.hidden), up(shape.in_features, padding.inner)
        return LocalShape(shape.copies, out, into, out if shape.bias else 0)
    # gate and up lie side by side, each rounded up
    out = 2 * up(shape.out_features // 2, padding.inner)
    return LocalShape(shape.copies, out, up(shape.in_features, padding.hidden), out if shape.bias else 0)


def _shown(module: Module, shape: LocalShape, times: int, scheme: WeightScheme | None, plain: int) -> str:
    copies = f"{shape.copies} x " if shape.copies > 1 else ""
    layers = f"{times} x " if times > 1 else ""
    kept = scheme.format if scheme is not None else f"{module.dtype_bytes or plain} B"
    name = module.name.removeprefix("layers.*.")
    return f"{layers}{copies}{name} {shape.out_features}x{shape.in_features} {kept}"
