"""The contract of each file: the nearest above it, read once."""

from __future__ import annotations

import os
from pathlib import Path

from vllmlint.contract.discovery import find_contract
from vllmlint.contract.settings import Contract
from vllmlint.manifest.problem import Problem
from vllmlint.sources.files import SourceError
from vllmlint.world import ContractView


class ContractError(Exception):
    """A contract that is wrong; `problems` say where."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        super().__init__(f"{path}: the contract is not valid")
        self.path = path
        self.problems = problems

    def __reduce__(self) -> tuple[type[ContractError], tuple[str, list[Problem]]]:
        """For another process: an exception is built anew from its arguments."""
        return ContractError, (self.path, self.problems)


class Contracts:
    """Finds and reads contracts; `fixed` is one for all files, named on the command line."""

    def __init__(self, fixed: str | None = None) -> None:
        self._fixed = Path(fixed) if fixed is not None else None
        self._default = Contract()
        self._found: dict[Path, Path | None] = {}
        self._loaded: dict[Path, Contract] = {}
        self._directories: dict[str, tuple[Contract, str] | None] = {}
        self._here = os.getcwd()

    def view(self, path: str) -> ContractView:
        """The contract that rules a file, with the file's path relative to the contract.

        Raises `ContractError` when that contract is wrong, and `SourceError` when it cannot be read.
        """
        slash = path.rfind("/") + 1
        directory, name = path[:slash], path[slash:]
        if directory not in self._directories:
            self._directories[directory] = self._for_directory(directory or ".")
        known = self._directories[directory]
        if known is None:
            return ContractView(self._default, path)
        contract, prefix = known
        return ContractView(contract, f"{prefix}/{name}" if prefix else name)

    def directory_of(self, path: str) -> str | None:
        """The directory of the contract that rules a file; None where there is none."""
        directory = os.path.dirname(path) or "."
        absolute = Path(os.path.abspath(os.path.join(self._here, directory)))
        found = self._fixed.absolute() if self._fixed is not None else find_contract(absolute, self._found)
        return None if found is None else str(found.parent)

    def _for_directory(self, directory: str) -> tuple[Contract, str] | None:
        absolute = Path(os.path.abspath(os.path.join(self._here, directory)))
        found = self._fixed.absolute() if self._fixed is not None else find_contract(absolute, self._found)
        if found is None:
            return None
        contract = self._loaded.get(found)
        if contract is None:
            contract = self._loaded[found] = _load(found)
        prefix = os.path.relpath(absolute, found.parent).replace(os.sep, "/")
        return contract, "" if prefix == "." else prefix


def _load(path: Path) -> Contract:
    # pydantic is only loaded where there is a contract to validate
    from vllmlint.contract.load import parse_contract

    shown = os.path.relpath(path).replace(os.sep, "/")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read the contract {shown}: {error.strerror or error}") from error
    loaded = parse_contract(shown, data, _read_other)
    if loaded.contract is None or loaded.problems:
        raise ContractError(shown, loaded.problems)
    return loaded.contract


def _read_other(path: str) -> bytes | None:
    """A file that a contract extends; None when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
