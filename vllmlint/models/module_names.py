"""Names of modules as quantisation configs write them: exact, wildcard, regular expression, substring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

from vllmlint.regex import regex

#: How a method reads its list of modules to leave alone. `exact`: the full name, or that of a module it
#: lies in; `substring`: anywhere in the name (AWQ, bitsandbytes); `wildcard`: `*` and the full name
#: (ModelOpt); `regex`: `re:` patterns beside full names (compressed-tensors, Quark); `gptq`: every entry is
#: a regular expression (the keys of `dynamic`).
NameMatching = Literal["exact", "substring", "wildcard", "regex", "gptq"]

#: What checkpoints put in front of the layers: the same module has a different full name in a text-only, a
#: multimodal and vLLM's own model, and configs use any of them.
_PREFIXES = ("", "model.", "language_model.model.", "model.language_model.", "backbone.", "transformer.")
_LONGEST_FIRST = sorted(_PREFIXES, key=len, reverse=True)
_LAYER = regex(r"(layers|blocks|h)\.(\d+)(?=\.|\*|$)")
#: An entry that names a whole layer stands for that layer alone, however much of the list is known.
_WHOLE_LAYER = regex(r"(layers|blocks|h)\.(\d+)[.*]*$")
#: A truncated list that names one kind of token mixer is taken to mean the other as well: such lists count
#: enough entries for both (Qwen3.5-122B-A10B-NVFP4: 148 entries, 36 linear_attn and 12 self_attn layers).
_MIXER = regex(r"\b(linear_attn|self_attn)\b")


class NameList:
    """A list of module names with its way of matching.

    `complete` is False where only the first entries are known: entries that name one layer then stand for
    the same modules of every layer. Immutable.
    """

    def __init__(self, entries: Sequence[str], matching: NameMatching, complete: bool = True) -> None:
        self.entries = tuple(entries)
        self.matching = matching
        self.complete = complete

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NameList) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.entries, self.matching, self.complete

    @cached_property
    def layer_groups(self) -> Mapping[int, int] | None:
        """Layers that entries name, by groups of which the same is said: those of one group, and those that
        no entry names, have the same modules in the list. None: any layer may differ."""
        if self.matching in ("regex", "gptq") and any(re.search(r"\d", text) for text in self._patterns):
            return None
        wanted = _LAYER if self.complete else _WHOLE_LAYER
        said: dict[int, set[str]] = {}
        for entry in self.entries:
            match = wanted.search(entry)
            if match is None:
                continue
            if len(match[2]) == 1 and match[2] != "0" and entry[match.end(2) :].startswith("*"):
                return None  # `layers.1*` is about layers 10 to 19 as well
            said.setdefault(int(match[2]), set()).add(f"{entry[: match.start(2)]}N{entry[match.end(2) :]}")
        alike = {texts: at for at, texts in enumerate({frozenset(texts) for texts in said.values()})}
        return {layer: alike[frozenset(texts)] for layer, texts in said.items()}

    def holds(self, name: str) -> bool:
        """Whether the list names a module. `name` starts at `layers.N.…`, or is outside the layers."""
        if not self.entries:
            return False
        return self._names(name) or (not self.complete and self._names(_any_layer(name)))

    def _names(self, name: str) -> bool:
        if name in self._exact or name.startswith(self._starts):
            return True
        if self._pattern is not None:
            # only regular expressions can ask for what stands before the layers
            prefixes = _PREFIXES if self.matching in ("regex", "gptq") else ("",)
            if any(self._pattern.match(prefix + name) for prefix in prefixes):
                return True
        return self.matching in ("exact", "wildcard") and any(
            parent in self._exact for parent in _parents(name)
        )

    @cached_property
    def _texts(self) -> list[str]:
        keep = self.complete
        return [entry if keep or entry.startswith("re:") else _any_layer(entry) for entry in self.entries]

    @cached_property
    def _patterns(self) -> list[str]:
        """The entries that are patterns, as regular expressions on names from `layers` on."""
        if self.matching == "substring":
            return [f".*{re.escape(text)}" for text in self._texts]
        if self.matching == "gptq":
            return self._texts
        if self.matching == "regex":
            return [text[3:] for text in self._texts if text.startswith("re:")]
        starred = (_without_prefix(text) for text in self._texts if "*" in text[:-1])
        return [re.escape(text).replace(r"\*", ".*") + "$" for text in starred]

    @cached_property
    def _starts(self) -> tuple[str, ...]:
        """What names start with, for entries whose only wildcard is at their end."""
        if self.matching not in ("exact", "wildcard"):
            return ()
        ending = (text for text in self._texts if text.find("*") == len(text) - 1)
        return tuple(_without_prefix(text)[:-1] for text in ending)

    @cached_property
    def _exact(self) -> frozenset[str]:
        if self.matching in ("substring", "gptq"):
            return frozenset()
        plain = (text for text in self._texts if not text.startswith("re:"))
        if self.matching != "regex":
            plain = (text for text in plain if "*" not in text)
        return frozenset(_without_prefix(text) for text in plain)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return _joined(self._patterns)


def _without_prefix(text: str) -> str:
    """A name or a wildcard without what stands before its layers."""
    for prefix in _LONGEST_FIRST:
        if text.startswith(prefix):
            return text[len(prefix) :]
    return text


def _any_layer(text: str) -> str:
    """A name or an entry with its layer number (and its kind of token mixer) taken out."""
    if _WHOLE_LAYER.search(text):
        return text
    return _MIXER.sub("self_attn", _LAYER.sub(r"\1.N", text))


def _parents(name: str) -> Iterator[str]:
    """The modules that a module lies in."""
    end = name.rfind(".")
    while end > 0:
        yield name[:end]
        end = name.rfind(".", 0, end)


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
