"""Which attention backend a release picks for a layer, and in which block sizes its kernels work.

Sources: `platforms/cuda.py` and `v1/attention/backends/` of vLLM 0.11.2, 0.14.1, 0.20.2, 0.26.0 and
0.33.0 (vllm-memory.md 3.2, 4.4). NVIDIA GPUs only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vllmlint.record import record, replace
from vllmlint.serving.release import Release

Capability = tuple[int, int]

#: Cache dtypes every backend takes: those of the model.
PLAIN = frozenset({"auto", "float16", "bfloat16"})
FP8 = frozenset({"fp8", "fp8_e4m3"})
PER_TOKEN_HEAD = frozenset({"int8_per_token_head", "fp8_per_token_head"})
#: Backends that read images with Triton and text with another kernel, by the GPU's generation (0.30 on).
COMPOSITES = {9: "TRITON_FLASH_ATTN", 10: "TRITON_FLASHINFER"}
#: The page of FlashAttention 4's kernel for heads of 256 on Blackwell, in tokens (0.33.0 `fa_utils.py`).
FA4_HEAD_256_PAGE = 128
#: The page of its fp8 kernel for heads of 512 on Hopper, in tokens (0.33.0 `flash_attn.py`).
FA4_HEAD_512_PAGE = 64


@record
class AttentionQuery:
    """What a layer asks of a backend.

    `block_size` is `--block-size` where given, `head_size` the layer's (of MLA: latent plus rope),
    `model_head_size` the model's largest. `nope_width` is `qk_nope_head_dim`, `index_topk` the sparse
    indexer's. `heads_per_rank` are query heads. `prefix_lm`: images attend to
    themselves in both directions. `dcp`: decode context parallel ranks.
    """

    head_size: int
    kv_cache_dtype: str
    block_size: int | None = None
    dtype: str = "bfloat16"
    mla: bool = False
    sparse: bool = False
    sinks: bool = False
    prefix_lm: bool = False
    heads_per_rank: int = 1
    kv_heads_per_rank: int = 1
    model_head_size: int = 0
    nope_width: int | None = None
    rope_width: int | None = None
    index_topk: int | None = None
    dcp: int = 1
    hybrid_float32: bool = False
    soft_cap: bool = False

    def without_prefix(self) -> AttentionQuery:
        """The same without images that attend to themselves."""
        return replace(self, prefix_lm=False)


@record
class Backend:
    """A backend and the block sizes of its kernels, in tokens.

    `sizes` are exact sizes, or with `multiples` the granules of which any multiple will do.
    """

    name: str
    sizes: tuple[int, ...] = (16,)
    multiples: bool = True

    @property
    def smallest(self) -> int:
        """The smallest kernel block."""
        return min(self.sizes)

    def takes(self, block_size: int) -> bool:
        """Whether a manager block of this size can be split into kernel blocks."""
        return any(block_size % size == 0 for size in self.sizes)

    def preferred(self, default: int) -> int:
        """The block size without `--block-size`: the default where it fits, else the smallest."""
        return default if self.takes(default) else self.smallest


@record
class NoBackend:
    """No backend takes the layer; `reasons`: what keeps each from it."""

    reasons: tuple[tuple[str, str], ...]


def choose_backend(query: AttentionQuery, release: Release, capability: Capability) -> Backend | NoBackend:
    """The first backend in the release's order of preference that takes the layer."""
    reasons: list[tuple[str, str]] = []
    for name in _order(query, release, capability):
        backend = _backend(name, query, release, capability)
        reason = _objection(backend, query, release, capability)
        if reason is None:
            return backend
        reasons.append((name, reason))
    return NoBackend(tuple(reasons))


def named_backend(
    name: str, query: AttentionQuery, release: Release, capability: Capability
) -> Backend | str | None:
    """The backend that `--attention-backend` names, or what keeps it from taking the layer; None: a name
    whose conditions are not known."""
    if name not in _CHECKS:
        return None
    latent = "MLA" in name
    if latent != query.mla:
        return "MLA not supported" if query.mla else "non-MLA not supported"
    backend = _backend(name, query, release, capability)
    return _objection(backend, query, release, capability) or backend


def _order(query: AttentionQuery, release: Release, capability: Capability) -> Sequence[str]:
    if not query.mla:
        attention = ["FLASH_ATTN", "FLASHINFER", "TRITON_ATTN", "FLEX_ATTENTION"]
        if capability[0] == 10:
            attention[:2] = ["FLASHINFER", "FLASH_ATTN"]
        composite = COMPOSITES.get(capability[0])
        if query.prefix_lm and composite is not None and release.at_least("0.30.0"):
            attention.insert(0, composite)
        return attention
    if capability[0] == 10:
        dense = ["CUTLASS_MLA", "FLASHINFER_MLA"] if not release.at_least("0.16.0") else ["FLASHINFER_MLA"]
        return [*dense, "CUTLASS_MLA", "FLASHMLA", "TRITON_MLA", *_sparse_order(query, release)]
    if capability[0] == 12 and release.at_least("0.24.0"):
        return ["TRITON_MLA", "FLASHINFER_MLA_SPARSE_SM120"]
    sparse = ["FLASHMLA_SPARSE"]
    if release.at_least("0.25.0"):
        sparse.insert(0, "FLASH_ATTN_MLA_SPARSE")
    return ["FLASH_ATTN_MLA", "FLASHMLA", "FLASHINFER_MLA", "TRITON_MLA", *sparse]


def _sparse_order(query: AttentionQuery, release: Release) -> list[str]:
    """On Blackwell: FlashInfer for a quantized cache or few heads, else FlashMLA."""
    if not release.at_least("0.17.0"):
        return ["FLASHMLA_SPARSE"]
    if query.kv_cache_dtype not in PLAIN or query.heads_per_rank <= 16:
        return ["FLASHINFER_MLA_SPARSE", "FLASHMLA_SPARSE"]
    return ["FLASHMLA_SPARSE", "FLASHINFER_MLA_SPARSE"]


def _backend(name: str, query: AttentionQuery, release: Release, capability: Capability) -> Backend:
    """The backend with the kernel block sizes it has for this layer."""
    if name == "FLASH_ATTN":
        return _flash_attention(query, release, capability)
    if name == "TRITON_FLASH_ATTN":
        causal = _flash_attention(query, release, capability)
        return Backend(name, causal.sizes, causal.multiples)
    if name in ("FLASHINFER", "TRITON_FLASHINFER"):
        large = (
            release.at_least("0.24.0")
            and capability[0] == 10
            and query.heads_per_rank // max(query.kv_heads_per_rank, 1) > 1
        )
        return Backend(name, (16, 32, 64, 128, 256, 512, 1024) if large else (16, 32, 64), multiples=False)
    exact = {
        "FLASHMLA": (64,),
        "CUTLASS_MLA": (128,),
        "FLASHINFER_MLA": (32, 64),
        "DEEPSEEK_V32_INDEXER": (64,),
    }
    if name in exact:
        return Backend(name, exact[name], multiples=False)
    granules = {
        "FLASHMLA_SPARSE": 64,
        "FLASH_ATTN_MLA_SPARSE": 64,
        "FLASHINFER_MLA_SPARSE": 32,
        "FLASHINFER_MLA_SPARSE_SM120": 64,
    }
    return Backend(name, (granules.get(name, 16),))


def _flash_attention(query: AttentionQuery, release: Release, capability: Capability) -> Backend:
    width = query.model_head_size or query.head_size
    if release.at_least("0.31.0") and capability[0] == 9 and query.kv_cache_dtype in FP8 and width == 512:
        return Backend("FLASH_ATTN", (FA4_HEAD_512_PAGE,), multiples=False)
    plain = query.kv_cache_dtype in PLAIN and not (query.sinks or query.soft_cap or query.dcp > 1)
    if release.at_least("0.29.0") and capability[0] == 10 and width == 256 and plain:
        return Backend("FLASH_ATTN", (FA4_HEAD_256_PAGE,), multiples=False)
    if query.hybrid_float32 and not release.at_least("0.24.0"):
        # Larger pages spread NaN from float32 states (0.14.1 and 0.20.2 `flash_attn.py`).
        return Backend("FLASH_ATTN", (16, 32, 64), multiples=False)
    return Backend("FLASH_ATTN")


def _objection(
    backend: Backend, query: AttentionQuery, release: Release, capability: Capability
) -> str | None:
    """The first thing that keeps a backend from taking the layer."""
    sparse = backend.name.endswith(("_SPARSE", "_SM120", "_SM90"))
    if sparse != query.sparse:
        return "sparse not supported" if query.sparse else "non-sparse not supported"
    # Before 0.17 the block size follows the backend, not the other way round.
    asked = query.block_size if release.at_least("0.17.0") else None
    if asked is not None and not backend.takes(asked):
        return "block_size not supported"
    names = [backend.name]
    if backend.name in COMPOSITES.values():
        names = ["TRITON_ATTN", backend.name.removeprefix("TRITON_")]
    for name in names:
        if not _takes_dtype(name, query, release, capability):
            return "kv_cache_dtype not supported"
    return _CHECKS[backend.name](query, release, capability)


def _takes_dtype(name: str, query: AttentionQuery, release: Release, capability: Capability) -> bool:
    dtype = query.kv_cache_dtype
    if dtype == "auto":
        return True
    if dtype in PLAIN:
        return release.at_least("0.16.0") and not (name == "FLASHMLA_SPARSE" and dtype == "float16")
    if dtype in FP8:
        return _takes_fp8(name, dtype, query, release, capability)
    if dtype == "fp8_e5m2":
        if name == "FLASH_ATTN":
            return not release.at_least("0.22.0") and capability[0] == 9
        return name in ("FLASHINFER", "TRITON_ATTN")
    if dtype in PER_TOKEN_HEAD or dtype == "int4_per_token_head":
        since = "0.25.0" if dtype == "int4_per_token_head" else "0.20.0"
        return name == "TRITON_ATTN" and release.at_least(since)
    if dtype.startswith("nvfp4"):
        if dtype == "nvfp4_ds_mla":
            return name == "FLASHMLA_SPARSE" and release.at_least("0.30.0") and capability[0] == 10
        elsewhere = release.at_least("0.32.0") or not release.at_least("0.25.0")
        return name == "FLASHINFER" and release.at_least("0.22.0") and (capability[0] == 10 or elsewhere)
    return dtype == "fp8_ds_mla" and name in ("FLASHMLA_SPARSE", "FLASHINFER_MLA_SPARSE_SM120")


def _takes_fp8(
    name: str, dtype: str, query: AttentionQuery, release: Release, capability: Capability
) -> bool:
    if name == "FLASH_ATTN":
        if capability[0] == 9:
            # FlashAttention 3, or (0.31+) 4 with heads of 512; models that mix widths run 4 throughout.
            mixed = max(query.model_head_size, query.head_size) > 256
            return not mixed or (release.at_least("0.31.0") and query.head_size in (256, 512))
        return capability[0] == 10 and release.at_least("0.27.0") and query.head_size <= 128
    if name == "TRITON_MLA":
        return release.at_least("0.17.0")
    if name == "FLASHMLA_SPARSE":
        return dtype == "fp8" and release.at_least("0.18.0")
    return name not in ("FLASH_ATTN_MLA", "FLEX_ATTENTION", "FLASH_ATTN_MLA_SPARSE")


def _flash_attention_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    if capability < (8, 0):
        return "compute capability not supported"
    if query.dtype == "float32":
        return "dtype not supported"
    if not release.at_least("0.12.0"):
        if query.head_size not in (32, 64, 96, 128, 160, 192, 224, 256):
            return "head_size not supported"
    elif query.head_size % 8 or query.head_size > 256:
        # FlashAttention 4 takes heads of up to 512 on Hopper and Blackwell.
        newer = release.at_least("0.20.0") and capability[0] in (9, 10)
        if query.head_size % 8 or not newer or query.head_size > 512:
            return "head_size not supported"
    if query.sinks and capability < (9, 0):
        return "sink not supported on compute capability < 9.0"
    if query.sinks and capability[0] != 9 and not (capability[0] == 10 and release.at_least("0.20.0")):
        return "attention sinks not supported"
    if query.prefix_lm:
        return "partial multimodal token full attention not supported"
    return None


def _composite_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    """Text takes the kernel that is not Triton, which never sees an image; DCP is out."""
    if query.dcp > 1:
        return "DCP not supported"
    check = _flash_attention_check if capability[0] == 9 else _flashinfer_check
    return check(query.without_prefix(), release, capability)


def _flashinfer_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    widths = (64, 128, 256, 512) if release.at_least("0.24.0") else (64, 128, 256)
    if query.head_size not in widths:
        return "head_size not supported"
    if capability < ((8, 0) if release.at_least("0.24.0") else (7, 5)) or capability > (12, 1):
        return "compute capability not supported"
    if query.dtype == "float32":
        return "dtype not supported"
    if query.sinks:
        newer = release.at_least("0.33.0") and (capability == (9, 0) or capability[0] == 12)
        if capability[0] != 10 and not newer:
            return "attention sinks not supported"
    if query.prefix_lm:
        return "partial multimodal token full attention not supported"
    if query.kv_cache_dtype.startswith("nvfp4") and capability[0] != 10:
        if query.head_size == 64:
            return "fa2 prefill misreads an NVFP4 KV cache at head_size 64"
        if query.sinks:
            return "the sink prefill wrapper cannot read an NVFP4 KV cache"
    return None


def _triton_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    return "head_size not supported" if query.head_size < 32 else None


def _flex_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    return "attention sinks not supported" if query.sinks else None


def _on(*majors: int) -> Callable[[AttentionQuery, Release, Capability], str | None]:
    """A backend whose only condition is the GPU's generation (and the latent width)."""

    def check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
        if majors and capability[0] not in majors:
            return "compute capability not supported"
        wide: tuple[int, ...] = (320, 512, 576) if release.at_least("0.30.0") else (320, 576)
        wide = wide if release.at_least("0.18.0") else (576,)
        if majors and not query.sparse and query.head_size not in wide:
            return "head_size not supported"
        return None

    return check


def _flashinfer_mla_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    if capability[0] != 10:
        return "compute capability not supported"
    widths = (64, 128, 192) if release.at_least("0.19.0") else (128,)
    if release.at_least("0.16.0") and query.nope_width not in widths:
        return f"FlashInfer MLA kernel requires qk_nope_head_dim in {list(widths)}"
    return None


def _flashinfer_sparse_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    if capability[0] != 10:
        return "compute capability not supported"
    if query.kv_cache_dtype == "fp8_ds_mla":
        return "fp8_ds_mla not supported"
    if query.nope_width not in ((128, 192) if release.at_least("0.20.0") else (128,)):
        return "qk_nope_head_dim not supported"
    return None


def _flash_sparse_check(query: AttentionQuery, release: Release, capability: Capability) -> str | None:
    if capability[0] != 9:
        return "compute capability not supported"
    return "FlashAttention MLA Sparse does not support DCP for now" if query.dcp > 1 else None


_CHECKS: dict[str, Callable[[AttentionQuery, Release, Capability], str | None]] = {
    "FLASH_ATTN": _flash_attention_check,
    "FLASHINFER": _flashinfer_check,
    "TRITON_ATTN": _triton_check,
    "FLEX_ATTENTION": _flex_check,
    "TRITON_FLASH_ATTN": _composite_check,
    "TRITON_FLASHINFER": _composite_check,
    "FLASH_ATTN_MLA": _on(9),
    "FLASHMLA": _on(9),
    "CUTLASS_MLA": _on(10),
    "FLASHINFER_MLA": _flashinfer_mla_check,
    "TRITON_MLA": _on(),
    "FLASHMLA_SPARSE": _on(9, 10),
    "FLASHINFER_MLA_SPARSE": _flashinfer_sparse_check,
    "FLASH_ATTN_MLA_SPARSE": _flash_sparse_check,
    "FLASHINFER_MLA_SPARSE_SM120": _on(12),
}
