"""Long lists of module names, packed by layer: `model.layers.#.mlp.gate` and the layers it stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vllmlint.regex import regex

_LAYER = regex(r"(?<=\blayers\.|\bblocks\.)\d+")
_EXPERT = regex(r"(?<=\.experts\.)\d+\..*")


def packed_names(names: Iterable[str]) -> dict[str, Any]:
    """`{"packed": [[name], [template, [[first, last], …]], …]}`; the order of the list is not kept."""
    layers: dict[str, list[int]] = {}
    whole: list[list[Any]] = []
    for name in names:
        found = _LAYER.search(name)
        if found is None or "#" in name:
            whole.append([name])
        else:
            template = f"{name[: found.start()]}#{name[found.end() :]}"
            layers.setdefault(template, []).append(int(found[0]))
    return {"packed": [*whole, *([template, _runs(numbers)] for template, numbers in layers.items())]}


def packed_layers(layers: Mapping[str, Any]) -> dict[str, Any]:
    """`quantized_layers` of ModelOpt: the names of each scheme, packed."""
    by_scheme: list[tuple[Any, list[str]]] = []
    for name, scheme in layers.items():
        names = next((names for known, names in by_scheme if known == scheme), None)
        if names is None:
            by_scheme.append((scheme, names := []))
        names.append(name)
    return {"by_scheme": [[scheme, packed_names(names)] for scheme, names in by_scheme]}


def unpacked_names(value: Any) -> Any:
    """A value of a quantisation block with what is packed in it written out."""
    if isinstance(value, list):
        return [unpacked_names(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "packed" in value:
        return [name for entry in value["packed"] for name in _names(*entry)]
    if "by_scheme" in value:
        return {name: scheme for scheme, names in value["by_scheme"] for name in unpacked_names(names)}
    return {key: unpacked_names(each) for key, each in value.items()}


def collapsed_experts(layers: Mapping[str, Any]) -> dict[str, Any]:
    """`quantized_layers` with one entry (`….experts.*`) for the experts of a layer that are all alike:
    MiniMax-M3-NVFP4 names 21,888 of them one by one."""
    schemes: dict[str, list[Any]] = {}
    for name, scheme in layers.items():
        known = schemes.setdefault(_EXPERT.sub("*", name), [])
        if scheme not in known:
            known.append(scheme)
    alike = {name: found[0] for name, found in schemes.items() if len(found) == 1}
    rest = {name: scheme for name, scheme in layers.items() if _EXPERT.sub("*", name) not in alike}
    return {**alike, **rest}


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def _names(template: str, runs: Sequence[Sequence[int]] | None = None) -> Iterable[str]:
    if runs is None:
        return (template,)
    before, _, after = template.partition("#")
    return (f"{before}{number}{after}" for first, last in runs for number in range(first, last + 1))
