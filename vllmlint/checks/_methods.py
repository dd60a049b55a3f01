"""In which releases a flag knows a method: quantization, parsers, backends."""

from __future__ import annotations

from functools import cache

from vllmlint.record import record
from vllmlint.serving.flag_tables import FlagSpec, flag_table
from vllmlint.serving.release import Release, known_releases, nearest_table

#: Flags whose values are names of methods that come and go with releases.
METHOD_FLAGS = (
    "--quantization",
    "--tool-call-parser",
    "--reasoning-parser",
    "--attention-backend",
    "--kv-cache-dtype",
    "--load-format",
    "--moe-backend",
    "--all2all-backend",
    "--tokenizer-mode",
    "--guided-decoding-backend",
)
#: Flags whose values are compared in capitals.
_IN_CAPITALS = frozenset({"--attention-backend"})


@record
class MethodLife:
    """When a value that the release at hand lacks was known: `removed_in` or `added_in` is set."""

    removed_in: Release | None = None
    added_in: Release | None = None


def method_names(spec: FlagSpec) -> frozenset[str]:
    """The values that a flag knows, whether or not its parser insists on them; empty: any, or not known."""
    return frozenset(str(each) for each in (*spec.known, *spec.choices))


def as_listed(flag: str, value: str) -> str:
    """A value in the spelling of the lists."""
    return value.upper() if flag in _IN_CAPITALS else value


@cache
def method_life(flag: str, value: str, release: Release) -> MethodLife | None:
    """The life of a value that this release of the flag lacks; None when it has it, or none ever did."""
    if flag not in METHOD_FLAGS:
        return None
    listed = as_listed(flag, value)
    now = nearest_table(release)[0]
    current = flag_table(now).get(flag)
    # without a list the release takes anything
    if current is None or not method_names(current) or listed in method_names(current):
        return None
    has: list[Release] = []
    for each in known_releases():
        spec = flag_table(each).get(flag)
        if spec is not None and listed in method_names(spec):
            has.append(each)
    if not has:
        return None
    before = [each for each in has if each < now]
    if not before:
        return MethodLife(added_in=min(has))
    gone = next(
        each for each in known_releases() if each > max(before) and _lists_without(each, flag, listed)
    )
    return MethodLife(removed_in=gone)


def _lists_without(release: Release, flag: str, listed: str) -> bool:
    spec = flag_table(release).get(flag)
    names = method_names(spec) if spec is not None else frozenset()
    return bool(names) and listed not in names
