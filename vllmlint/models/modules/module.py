"""One kind of module of a model: its shape, where it lies and how it is divided among ranks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from vllmlint.models.quantization import ModuleRole
from vllmlint.record import record

#: What tensor parallelism does to a module. `out`: outputs are split (columns of the product); `in`: inputs
#: are split; `vocab`: rows of the vocabulary, padded first; `none`: every rank holds the whole.
Shard = Literal["none", "out", "in", "vocab"]
#: Where pipeline parallelism puts it: with its layer, on the first or the last stage, on both (a tied
#: embedding, which both ends read), or on every stage.
Place = Literal["layer", "first", "last", "tied", "all"]
#: Which part of the model it belongs to.
Part = Literal["text", "vision", "audio", "mtp"]

FP32_BYTES = 4


@record
class Module:
    """A weight matrix of `out_features` rows and `in_features` columns (or a vector, with one column).

    `name` is as in the checkpoint, from `layers.*` on, `*` standing for each of `layers` (empty for what
    is outside the layers). There are `copies` of it (experts), each with `bias` further parameters.
    `units` is the count of things along the split side that cannot be cut (heads); where there are fewer
    than ranks, ranks share them (KV heads, Mamba groups). `dtype_bytes` overrides the model's dtype.
    `extra` marks what vLLM allocates though no checkpoint has it.
    """

    name: str
    out_features: int
    in_features: int
    shard: Shard = "none"
    units: int = 0
    copies: int = 1
    bias: int = 0
    role: ModuleRole = "linear"
    dtype_bytes: int | None = None
    part: Part = "text"
    place: Place = "layer"
    layers: tuple[int, ...] = ()
    extra: bool = False

    @property
    def each(self) -> int:
        """Parameters in one layer."""
        return self.copies * (self.out_features * self.in_features + self.bias)

    @property
    def parameters(self) -> int:
        """Parameters in the checkpoint."""
        return 0 if self.extra else self.each * max(1, len(self.layers))

    @property
    def quant_name(self) -> str:
        """The name by which quantisation configs know it: experts go by their list's."""
        return self.name.rsplit(".", 1)[0] if self.role == "experts" else self.name

    def in_layers(self, layers: Iterable[int], prefix: str = "layers.*.") -> Module:
        """The same module in each of some layers."""
        return self.changed(name=prefix + self.name, layers=tuple(layers))

    def changed(
        self,
        *,
        name: str | None = None,
        layers: tuple[int, ...] | None = None,
        part: Part | None = None,
        place: Place | None = None,
    ) -> Module:
        """The same module elsewhere."""
        return Module(
            self.name if name is None else name,
            self.out_features,
            self.in_features,
            self.shard,
            self.units,
            self.copies,
            self.bias,
            self.role,
            self.dtype_bytes,
            self.part if part is None else part,
            self.place if place is None else place,
            self.layers if layers is None else layers,
            self.extra,
        )


def column(name: str, out: int, into: int, *, units: int = 0, bias: bool = False) -> Module:
    """A linear layer whose outputs are split."""
    return Module(name, out, into, "out", units, bias=out if bias else 0)


def row(name: str, out: int, into: int, *, units: int = 0, bias: bool = False) -> Module:
    """A linear layer whose inputs are split; its bias is whole on every rank."""
    return Module(name, out, into, "in", units, bias=out if bias else 0)


def whole(name: str, out: int, into: int, *, bias: bool = False) -> Module:
    """A linear layer that every rank holds whole."""
    return Module(name, out, into, bias=out if bias else 0)


def vector(name: str, size: int, *, fp32: bool = False, split: int = 0, role: ModuleRole = "never") -> Module:
    """Parameters that no method quantises (norms, scales, biases of routers); `split` by so many units."""
    return Module(
        name, size, 1, "out" if split else "none", split, role=role, dtype_bytes=FP32_BYTES if fp32 else None
    )


def plain(name: str, out: int, into: int, *, split: int = 0, fp32: bool = False) -> Module:
    """A matrix that no method quantises (routers, convolutions); `split` by so many units of its outputs."""
    return Module(
        name,
        out,
        into,
        "out" if split else "none",
        split,
        role="never",
        dtype_bytes=FP32_BYTES if fp32 else None,
    )
