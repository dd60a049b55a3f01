"""Names of modules as quantisation configs write them: exact, wildcard, regular expression, substring."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from vllmlint.record import record

#: How a method reads its list of modules to leave alone. `exact`: the full name, or that of a module it
#: lies in; `substring`: anywhere in the name (AWQ, bitsandbytes); `wildcard`: `*` and the full name
#: (ModelOpt); `regex`: `re:` patterns beside full names (compressed-tensors, Quark); `gptq`: every entry is
#: a regular expression (the keys of `dynamic`).
NameMatching = Literal["exact", "substring", "wildcard", "regex", "gptq"]

#: What checkpoints put in front of the layers: the same module has a different full name in a text-only, a
#: multimodal and vLLM's own model, and configs use any of them.
_PREFIXES = ("", "model.", "language_model.model.", "model.language_model.", "backbone.", "transformer.")
_LAYER = re.compile(r"(layers|blocks|h)\.\d+(?=\.|\*|$)")
#: An entry that names a whole layer stands for that layer alone, however much of the list is known.
_WHOLE_LAYER = re.compile(r"(layers|blocks|h)\.\d+[.*]*$")
#: A truncated list that names one kind of token mixer is taken to mean the other as well: such lists count
#: enough entries for both (Qwen3.5-122B-A10B-NVFP4: 148 entries, 36 linear_attn and 12 self_attn layers).
_MIXER = re.compile(r"\b(linear_attn|self_attn)\b")


@record
class NameList:
    """A list of module names with its way of matching.

    `complete` is False where only the first entries are known: entries that name one layer then stand for
    the same modules of every layer.
    """

    entries: tuple[str, ...]
    matching: NameMatching
    complete: bool = True

    @property
    def names_layers(self) -> bool:
        """Whether the answer can differ between layers."""
        if self.matching in ("regex", "gptq"):
            return any(re.search(r"\d", entry) for entry in self.entries)
        wanted = _LAYER if self.complete else _WHOLE_LAYER
        return any(wanted.search(entry) for entry in self.entries)

    def holds(self, name: str) -> bool:
        """Whether the list names a module. `name` starts at `layers.N.…`, or is outside the layers."""
        if self._names(name):
            return True
        return not self.complete and self._names(_any_layer(name))

    def _names(self, name: str) -> bool:
        exact, pattern = _compiled(self.entries, self.matching, self.complete)
        for prefix in _PREFIXES:
            full = prefix + name
            if full in exact or (pattern is not None and pattern.match(full)):
                return True
        if self.matching in ("exact", "wildcard"):
            return any(parent in exact for parent in _parents(name))
        return False


def _any_layer(text: str) -> str:
    """A name or an entry with its layer number (and its kind of token mixer) taken out."""
    if _WHOLE_LAYER.search(text):
        return text
    return _MIXER.sub("self_attn", _LAYER.sub(r"\1.N", text))


def _parents(name: str) -> Iterable[str]:
    """The modules that a module lies in, under every prefix."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        inner = ".".join(parts[:end])
        for prefix in _PREFIXES:
            yield prefix + inner


@lru_cache(maxsize=64)
def _compiled(
    entries: tuple[str, ...], matching: NameMatching, complete: bool
) -> tuple[frozenset[str], re.Pattern[str] | None]:
    exact: set[str] = set()
    patterns: list[str] = []
    for entry in entries:
        text = entry if complete or entry.startswith("re:") else _any_layer(entry)
        if matching == "substring":
            patterns.append(f".*{re.escape(text)}")
        elif matching == "gptq":
            patterns.append(text)
        elif matching == "regex" and text.startswith("re:"):
            patterns.append(text[3:])
        elif "*" in text and matching in ("wildcard", "exact"):
            patterns.append(re.escape(text).replace(r"\*", ".*") + "$")
        else:
            exact.add(text)
    return frozenset(exact), _joined(patterns)


def _joined(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """One expression for all of them; those that do not compile are left out, as they match nothing."""
    valid = []
    for pattern in dict.fromkeys(patterns):
        try:
            re.compile(pattern)
        except re.error:
            continue
        valid.append(f"(?:{pattern})")
    return re.compile("|".join(valid)) if valid else None
