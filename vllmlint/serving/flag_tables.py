"""What flags and environment variables each vLLM release knows.

Source: `schemas/vllm/*.json`, built by `scripts/build_vllm_tables.py` from vLLM's own source
distributions. Everything is loaded on first use, flags and environment apart.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import field
from functools import cache, cached_property
from typing import Any, Literal

from vllmlint.record import mutable, names_of, record
from vllmlint.resources import resource
from vllmlint.serving.release import Release, nearest_table, table_index

Entrypoint = Literal["serve", "module"]


@mutable
class FlagSpec:
    """One flag as a release's parser declares it (meanings: the table's README).

    `name` is the long spelling with dashes (`--max-model-len`), `key` the name settings go by
    (`max_model_len`). `type` is one of bool int float str choice list json json_or_str kv help.
    `action` (bool): store_true, store_false, optional or value. `choices` are enforced while parsing,
    `known` are not. `limits` (ge gt le lt) are checked after parsing. `default` is the parser's, which
    for None often means "decided later". `config` is the config class the value goes to. `deprecated`
    is None unless this release calls the flag deprecated.
    """

    name: str
    type: str = "str"
    aliases: tuple[str, ...] = ()
    negations: tuple[str, ...] = ()
    action: str = ""
    item: str = ""
    nargs: str = ""
    const: Any = None
    choices: tuple[Any, ...] = ()
    known: tuple[Any, ...] = ()
    human: str = ""
    nullable: bool = False
    limits: dict[str, float] = field(default_factory=dict)
    schema: str = ""
    kv: bool = False
    repeat: str = ""
    note: str = ""
    default: Any = None
    default_dynamic: bool = False
    config: str = ""
    only: str = ""
    deprecated: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """The name without dashes and with underscores: `max_model_len`."""
        return self.name[2:].replace("-", "_")

    @property
    def takes_value(self) -> bool:
        """Whether a value may follow the flag."""
        return self.type not in ("bool", "help") or self.action == "value"

    @property
    def spellings(self) -> tuple[str, ...]:
        """All option strings in the order argparse names them in a message."""
        return (self.name, *self.negations, *self.aliases)


@record
class ParserBehaviour:
    """How a release's FlexibleArgumentParser differs from plain argparse (see the table's README)."""

    dotted_json: bool
    dotted_list_append: bool
    dotted_human_int: bool
    warn_duplicates: bool
    json_human_int: bool
    enable_disable_pairs: bool
    abbreviations: bool
    O_means: str | None
    serve_rejects_model_option: bool
    serve_model_option: str
    positional_required: bool
    config_first_word_stays_first: bool
    config_lists: bool
    config_false_negates_in: str | None
    human_tera: bool
    duplicate_flags_warn: bool
    config_yaml_nested: bool


#: The option argparse adds to every parser itself.
_HELP = FlagSpec("--help", "help", ("-h",))
_SPEC_FIELDS = frozenset(names_of(FlagSpec))


class FlagTable:
    """The flags of one release.

    `release` is the release the table was read from (perhaps not the one asked for), `parser` how
    it reads a command line.
    """

    def __init__(self, release: Release, parser: ParserBehaviour, rows: dict[str, dict[str, Any]]) -> None:
        """Keep the rows; each becomes a FlagSpec when it is first looked at."""
        self.release = release
        self.parser = parser
        self._rows = rows
        self._specs: dict[str, FlagSpec] = {"--help": _HELP}

    @property
    def names(self) -> tuple[str, ...]:
        """The long names of all flags, with dashes."""
        return tuple(self._rows)

    def spec(self, name: str) -> FlagSpec:
        """The flag with this canonical long name; KeyError when the release has none."""
        found = self._specs.get(name)
        if found is None:
            found = self._specs[name] = _spec(name, self._rows[name])
        return found

    def get(self, name: str) -> FlagSpec | None:
        """The flag by any exact spelling (`--tensor-parallel-size`, `tensor_parallel_size`, `-tp`)."""
        if not name.startswith("-"):
            name = "--" + name
        if name.startswith("--"):
            name = name.replace("_", "-")
        found = self.options("serve").get(name)
        return self.spec(found[0]) if found else None

    def options(self, entrypoint: Entrypoint) -> dict[str, tuple[str, bool]]:
        """Option string -> (canonical name, whether it is a negative spelling)."""
        return self._serve_options if entrypoint == "serve" else self._module_options

    def prefixed(self, prefix: str, entrypoint: Entrypoint) -> list[str]:
        """The option strings that start with `prefix`, in alphabetical order."""
        strings = self._serve_sorted if entrypoint == "serve" else self._module_sorted
        found = []
        for index in range(bisect_left(strings, prefix), len(strings)):
            if not strings[index].startswith(prefix):
                break
            found.append(strings[index])
        return found

    def _options(self, excluded: str) -> dict[str, tuple[str, bool]]:
        strings = {"--help": ("--help", False), "-h": ("--help", False)}
        for name, row in self._rows.items():
            if row.get("only") == excluded:
                continue
            strings[name] = (name, False)
            for alias in row.get("aliases", ()):
                strings[alias] = (name, False)
            for negation in row.get("negations", ()):
                strings.setdefault(negation, (name, True))
        return strings

    @cached_property
    def _serve_options(self) -> dict[str, tuple[str, bool]]:
        return self._options("api_server")

    @cached_property
    def _module_options(self) -> dict[str, tuple[str, bool]]:
        return self._options("serve")

    @cached_property
    def _serve_sorted(self) -> list[str]:
        return sorted(self._serve_options)

    @cached_property
    def _module_sorted(self) -> list[str]:
        return sorted(self._module_options)


def _spec(name: str, row: dict[str, Any]) -> FlagSpec:
    values = {key: value for key, value in row.items() if key in _SPEC_FIELDS}
    for key in ("aliases", "negations"):
        values[key] = tuple(values.get(key, ()))
    for key in ("choices", "known"):
        values[key] = tuple(_flag_file()["lists"][values[key]]) if key in values else ()
    return FlagSpec(name, **values)


@cache
def _flag_file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(resource("schemas", "vllm", "flags.json").read_text("utf-8"))
    return loaded


def flag_table(release: Release) -> FlagTable:
    """The flags of `release`, or of the nearest release that was read (see `nearest_table`)."""
    return _flag_table(nearest_table(release)[0])


@cache
def _flag_table(release: Release) -> FlagTable:
    index = table_index(release)
    file = _flag_file()
    specs = file["specs"]
    rows = {}
    for name, stretches in file["flags"].items():
        for first, last, number in stretches:
            if first <= index <= last:
                rows[name] = specs[number]
                break
    parser = next(
        file["parsers"][number] for first, last, number in file["parser_runs"] if first <= index <= last
    )
    return FlagTable(release, ParserBehaviour(**parser), rows)


@record
class FlagHistory:
    """When a flag or a variable came and went, by the releases that were read.

    `first` and `last` are versions; `first` of the oldest release read means "not later than".
    `removed_in` is None while the newest release still has it. `removal` is the release that an
    announcement names (often missed), `replacement` what vLLM's own texts say to use instead.
    """

    name: str
    first: str
    last: str
    removed_in: str | None = None
    absent_in: tuple[str, ...] = ()
    deprecated_in: str | None = None
    removal: str | None = None
    replacement: str | None = None
    replacement_field: str | None = None


def _history(name: str, row: dict[str, Any] | None) -> FlagHistory | None:
    if row is None:
        return None
    values = dict(row)
    values["absent_in"] = tuple(values.get("absent_in", ()))
    return FlagHistory(name, **values)


@cache
def _history_file() -> dict[str, dict[str, Any]]:
    loaded = json.loads(resource("schemas", "vllm", "history.json").read_text("utf-8"))
    flags: dict[str, dict[str, Any]] = loaded["flags"]
    return flags


@cache
def flag_history(name: str) -> FlagHistory | None:
    """The life of a flag by its long name (with or without dashes); None when no release had it.

    A negative spelling (`--no-enable-x`) answers for its flag.
    """
    long_name = "--" + name.lstrip("-").replace("_", "-")
    rows = _history_file()
    if long_name not in rows and long_name.startswith("--no-"):
        long_name = "--" + long_name.removeprefix("--no-")
    return _history(long_name, rows.get(long_name))


@mutable
class EnvSpec:
    """One environment variable as a release declares it in `vllm/envs.py`.

    For booleans `true`, `false` and `error` list the probed spellings that read as true, read as false
    or raise at start. `default` is None also when it is computed (`default_dynamic`).
    """

    name: str
    type: str = "str"
    default: Any = None
    default_dynamic: bool = False
    choices: tuple[Any, ...] = ()
    case_sensitive: bool = True
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    getter: bool = False


@record
class EnvTable:
    """The variables of one release: `declared` in `vllm/envs.py`, `mentioned` elsewhere in the package."""

    release: Release
    declared: dict[str, EnvSpec]
    mentioned: frozenset[str]

    def get(self, name: str) -> EnvSpec | None:
        """The declared variable of this name."""
        return self.declared.get(name)

    def knows(self, name: str) -> bool:
        """Whether this release reads the variable at all."""
        return name in self.declared or name in self.mentioned


_ENV_FIELDS = frozenset(names_of(EnvSpec))


@cache
def _env_file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(resource("schemas", "vllm", "env.json").read_text("utf-8"))
    return loaded


def _env_spec(name: str, row: dict[str, Any], lists: list[list[Any]]) -> EnvSpec:
    values = {key: value for key, value in row.items() if key in _ENV_FIELDS}
    for key in ("true", "false", "error"):
        values[key] = tuple(values.get(key, ()))
    values["choices"] = tuple(lists[values["choices"]]) if "choices" in values else ()
    return EnvSpec(name, **values)


def env_table(release: Release) -> EnvTable:
    """The environment variables of `release`, or of the nearest release that was read."""
    return _env_table(nearest_table(release)[0])


@cache
def _env_table(release: Release) -> EnvTable:
    index = table_index(release)
    file = _env_file()
    declared = {}
    for name, stretches in file["env"].items():
        for first, last, number in stretches:
            if first <= index <= last:
                declared[name] = _env_spec(name, file["specs"][number], file["lists"])
    mentioned = frozenset(
        name
        for name, stretches in file["other"].items()
        if any(first <= index <= last for first, last in stretches)
    )
    return EnvTable(release, declared, mentioned)


@cache
def env_history(name: str) -> FlagHistory | None:
    """The life of an environment variable that some release declares; None when none does."""
    return _history(name, _env_file()["history"].get(name))
