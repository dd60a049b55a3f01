"""The GPUs that are known, by id and by the many names people give them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpu import Gpu
from vllmlint.regex import regex

#: The product label of GPU feature discovery: model, MIG profile, sharing (labels.json, `parse`).
_PRODUCT = regex(r"(?P<model>.+?)(?:-MIG-(?P<mig>INVALID|[1-9][0-9]*g\.[0-9]+gb.*?))?(?P<shared>-SHARED)?\Z")
_PROFILE = regex(r"(?P<compute>[0-9]+)g\.(?P<memory>[0-9]+)gb(?P<attribute>[.+-].+)?\Z")
#: Words that many cards share and that choose none.
_VENDOR_WORDS = frozenset(
    {
        "nvidia",
        "amd",
        "intel",
        "google",
        "aws",
        "tesla",
        "geforce",
        "instinct",
        "gpu",
        "graphics",
        "accelerator",
        "generation",
        "edition",
        "tensor",
        "core",
        "oam",
        "radeon",
        "data",
        "center",
        "series",
    }
)
_MEMORY_WORD = regex(r"([0-9]+)(?:g|gb|gib)?\Z")
#: Words for how a card is connected: they narrow a name and are none by themselves.
_LINK_WORDS = frozenset({"nvlink", "sxm", "pcie"})
#: Words that make another model of the same name: a name without them is not that model.
_VARIANT_WORDS = frozenset({"ti", "d"})


@cache
def _gpus() -> dict[str, Gpu]:
    return {row["id"]: _gpu(row) for row in hardware_table("gpus")["gpus"]}


def _gpu(row: dict[str, Any]) -> Gpu:
    capability = row.get("compute_capability")
    formats = row.get("formats", {})
    return Gpu(
        id=row["id"],
        device_name=row["device_name"],
        vendor=row["vendor"],
        memory_gib=row.get("memory_gib"),
        compute_capability=None if capability is None else _version(capability),
        sm_count=row.get("sm_count"),
        memory_bandwidth_gb_s=row.get("bandwidth_gb_s"),
        unified_memory=row.get("unified", False),
        source=row["source"],
        memory_certainty=row.get("memory", "unknown"),
        driver_memory_mib=row.get("driver_memory_mib"),
        name=row["name"],
        products=tuple(row.get("products", ())),
        architecture=row.get("architecture"),
        form_factor=row.get("form_factor"),
        interconnect=row.get("interconnect"),
        interconnect_gb_s=row.get("interconnect_gb_s"),
        nvlink_domain_gpus=row.get("nvlink_domain_gpus"),
        bf16=formats.get("bf16"),
        fp8=formats.get("fp8"),
        fp4=formats.get("fp4"),
        host_arch=row.get("host_arch"),
        mig_geometry=row.get("mig"),
    )


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def gpu_ids() -> tuple[str, ...]:
    """The ids of all whole GPUs, as the table orders them."""
    return tuple(_gpus())


def gpu_by_id(gpu_id: str) -> Gpu | None:
    """The GPU with an id: a card (`nvidia-a100-80gb-sxm`) or a MIG slice of one
    (`nvidia-a100-80gb-sxm/3g.40gb`)."""
    card, _, profile = gpu_id.partition("/")
    gpu = _gpus().get(card)
    return gpu if gpu is None or not profile else mig_slice(gpu, profile)


def mig_profiles(gpu: Gpu) -> dict[str, int]:
    """The MIG profiles a card can be cut into, and how many slices of each it holds at most; empty for a
    card without MIG."""
    geometry = _geometries().get(gpu.mig_geometry or "")
    rows = geometry["profiles"] if geometry is not None else ()
    return {row["profile"]: row["max_instances"] for row in rows}


@cache
def _geometries() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in hardware_table("gpus")["mig_geometries"]}


def mig_slice(gpu: Gpu, profile: str) -> Gpu | None:
    """One MIG slice of a card as a GPU of its own; None where the card has no such profile.

    A resource name spells `1g.5gb+me` as `1g.5gb.me`: both are understood. The memory is the slice's as it
    was read, else its share of the card's: MIG cuts memory into as many equal parts as the geometry has
    (eight for seven compute slices, four for four); the profile's name says how many of them it has.
    """
    geometry = _geometries().get(gpu.mig_geometry or "")
    if geometry is None:
        return None
    rows = {row["profile"]: row for row in geometry["profiles"]}
    row = rows.get(profile) or rows.get(profile.replace(".me", "+me").replace(".gfx", "+gfx"))
    if row is None:
        return None
    share = _memory_share(row["profile"], geometry)
    # profiles of one size have the same memory, whatever their compute slices
    same_size = (
        other for other in rows.values() if _profile_gb(other["profile"]) == _profile_gb(row["profile"])
    )
    memory = row.get("memory_gib") or next(
        (one["memory_gib"] for one in same_size if "memory_gib" in one), None
    )
    derived = None if gpu.memory_gib is None else round(gpu.memory_gib * share, 2)
    bandwidth = gpu.memory_bandwidth_gb_s
    return Gpu(
        id=f"{gpu.id}/{row['profile']}",
        device_name=f"{gpu.device_name} MIG {row['profile']}",
        vendor=gpu.vendor,
        memory_gib=derived if memory is None else memory,
        compute_capability=gpu.compute_capability,
        sm_count=row.get("sm_count"),
        memory_bandwidth_gb_s=None if bandwidth is None else bandwidth * share,
        source=geometry["source"],
        memory_certainty="measured" if memory is not None else "unknown" if derived is None else "derived",
        name=f"{gpu.name}, MIG slice {row['profile']}",
        products=tuple(f"{product}-MIG-{row['profile'].replace('+', '.')}" for product in gpu.products),
        architecture=gpu.architecture,
        form_factor=gpu.form_factor,
        interconnect="none",
        bf16=gpu.bf16,
        fp8=gpu.fp8,
        fp4=gpu.fp4,
        host_arch=gpu.host_arch,
        slice_of=gpu.id,
        mig_profile=row["profile"],
    )


def _memory_share(profile: str, geometry: dict[str, Any]) -> float:
    """The part of the card's memory that a slice has: whole parts, counted by the profile's name."""
    parts = 8 if geometry["slices"] == 7 else 4
    sizes = [_profile_gb(row["profile"]) for row in geometry["profiles"]]
    return max(1, round(parts * _profile_gb(profile) / max(sizes))) / parts


def _profile_gb(profile: str) -> int:
    match = _PROFILE.match(profile)
    return int(match["memory"]) if match is not None else 0


def split_product(label: str) -> tuple[str, str | None, bool]:
    """A product label in parts: the model, its MIG profile (`INVALID` where the layout is), whether shared.

    Source: NVIDIA/k8s-device-plugin internal/lm (labels.json, `parse`).
    """
    match = _PRODUCT.match(label)
    if match is None:  # empty or more than one line
        return label, None, False
    return match["model"], match["mig"], match["shared"] is not None


def find_gpu(name: str) -> tuple[Gpu, ...]:
    """The GPUs a name may stand for: one where it is clear, several where it is not, none if unknown.

    Understood are ids, product labels (with `-MIG-…` and `-SHARED`), the driver's names and loose forms
    (`H100`, `a100-80gb`, `A100 SXM`, `rtx4090`). `A100` alone gives the cards of 40 and of 80 GB.
    """
    name = name.strip()
    exact = gpu_by_id(name.lower()) or gpu_by_id(name)
    if exact is not None:
        return (exact,)
    card, slash, profile = name.partition("/")
    if slash:
        return _slices(find_gpu(card), profile)
    model, mig, _ = split_product(name)
    found = _by_exact_name(model) or _by_words(model)
    if mig is None:
        return found
    return _slices(found, mig)


def _slices(cards: Iterable[Gpu], profile: str) -> tuple[Gpu, ...]:
    slices = (mig_slice(card, profile.lower()) for card in cards)
    return tuple(gpu for gpu in slices if gpu is not None)


def gpus_of_product(model: str) -> tuple[Gpu, ...]:
    """The GPUs whose driver name gives this product label (without `-MIG-…` and `-SHARED`), exactly."""
    return tuple(gpu for gpu in _gpus().values() if model in gpu.products)


def _by_exact_name(name: str) -> tuple[Gpu, ...]:
    """The GPUs that are called just this. A bare family name such as `NVIDIA-H100`, which is one card's
    product label, stands for the family when a person writes it."""
    found = tuple(gpu for gpu in _gpus().values() if name == gpu.device_name or name in gpu.products)
    return found if len(_words(name) - _VENDOR_WORDS) > 1 else ()


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9.]+", text.lower().replace("+", " ")))


@cache
def _vocabulary() -> tuple[tuple[Gpu, frozenset[str], frozenset[str]], ...]:
    """Every GPU with the words of its names and with its memory sizes as words (`80gb`)."""
    rows = []
    for row in hardware_table("gpus")["gpus"]:
        gpu = _gpus()[row["id"]]
        names = [gpu.id, gpu.name, gpu.device_name, *gpu.products, *row.get("aliases", ())]
        words = {word for name in names for word in _name_words(name)}
        if gpu.form_factor:
            words.add(gpu.form_factor.lower())
        if gpu.interconnect == "nvlink":
            words |= {"nvlink", "sxm"}
        sizes = {f"{row['box_memory_gb']}gb"} if "box_memory_gb" in row else set()
        rows.append((gpu, frozenset(words), frozenset(sizes)))
    return tuple(rows)


def _name_words(name: str) -> set[str]:
    """The words of a name, and neighbours written as one (`rtx4090`, `tpuv5e`)."""
    words = re.findall(r"[a-z0-9.]+", name.lower())
    return {*words, *(first + second for first, second in pairwise(words))}


def _by_words(name: str) -> tuple[Gpu, ...]:
    words = _words(name.replace("_", " ")) - _VENDOR_WORDS
    if not words:
        return ()
    found = []
    for gpu, known, sizes in _vocabulary():
        named = {word for word in words if not _is_size(word, sizes)}
        if named <= known and named - _LINK_WORDS and known & _VARIANT_WORDS <= named:
            found.append(gpu)
    return tuple(found)


def _is_size(word: str, sizes: frozenset[str]) -> bool:
    match = _MEMORY_WORD.match(word)
    return match is not None and f"{match[1]}gb" in sizes


def nearest_gpu(name: str) -> str | None:
    """The id most like a name that stands for no GPU, for a hint; None where nothing comes near."""
    import difflib

    near = difflib.get_close_matches(name.strip().lower(), gpu_ids(), n=1, cutoff=0.6)
    return near[0] if near else None
