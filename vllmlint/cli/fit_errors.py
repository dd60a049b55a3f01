"""What can be wrong with the options of `vllmlint fit`."""

from __future__ import annotations


class FitUsageError(Exception):
    """An option, a path or a contract that makes no sense; the text says which, and what is wanted."""

    #: how the program ends
    code = 2

    @property
    def lines(self) -> tuple[str, ...]:
        """What to say on standard error."""
        return tuple(f"vllmlint: {text}" for text in self.args)


class UnreachableError(FitUsageError):
    """The hub that `--online` asks does not answer."""

    code = 4
