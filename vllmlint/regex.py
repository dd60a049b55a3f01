"""Regular expressions that are compiled when they are first used.

One takes Python 0.1 to 2 ms to compile, the package has some two hundred and fifty at hand, and a run uses
a part of them.
"""

from __future__ import annotations

import re
from typing import Any, cast

_METHODS = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")


class _Compiled:
    """Stands for a compiled expression, whose methods it holds."""

    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        self._flags = flags


class _Waiting(_Compiled):
    """The same before its first use."""

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            raise AttributeError(name)
        compiled = re.compile(self.pattern, self._flags)
        for method in _METHODS:
            setattr(self, method, getattr(compiled, method))
        self.__class__ = _Compiled  # type: ignore[assignment]  # no detour from now on
        return getattr(compiled, name)


def regex(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """As `re.compile`, put off: the result has the methods of a compiled expression and its `pattern`, and is
    no argument for the functions of `re`."""
    return cast("re.Pattern[str]", _Waiting(pattern, flags))
