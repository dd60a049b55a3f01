"""Parameters computed from config fields beside the counts that sources state.

    python benchmarks/parameters.py [-v] [--limit PERCENT]

Counts the rows of the shipped catalogue that state an unrounded number (a quantised repo states its base
model's). Exit 1 where fewer than 95 % lie within the limit (0.2 % unless given). `-v` prints every row.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.modules import missing_sizes, parameter_count
from vllmlint.record import record

#: Share of the rows that must lie within the limit.
TARGET = 0.95


@record
class Row:
    """One model: what its source states, what its fields give (None: cannot tell), and the difference."""

    architecture: ModelArchitecture
    stated: int
    computed: int | None

    @property
    def percent(self) -> float | None:
        """Computed over stated, less one, in percent."""
        return None if self.computed is None else 100 * (self.computed - self.stated) / self.stated


def rows() -> Iterator[Row]:
    """The catalogue's rows that state an unrounded count."""
    for model_id in catalogue_ids():
        architecture = find_architecture(model_id)
        assert architecture is not None
        stated = architecture.published.get("total_params_b")
        if stated is None or architecture.published.get("total_params_rounded"):
            continue
        count = parameter_count(architecture)
        yield Row(architecture, round(stated * 1e9), None if count is None else count.total)


def reason(row: Row) -> str:
    """Why a row is off, as far as its fields tell."""
    if row.computed is None:
        names = dict.fromkeys(missing_sizes(row.architecture))
        return f"the config does not give the sizes of {', '.join(names) or 'anything'}"
    count = parameter_count(row.architecture)
    assert count is not None
    head = (row.architecture.integer("vocab_size") or 0) * (row.architecture.hidden_size or 0)
    if row.stated - row.computed == head:
        return "the stated count has a language head, the checkpoint's class has none"
    missing = row.architecture.published.get("partial")
    return "; ".join(count.doubts) or (
        "fields are missing from the catalogue's row" if missing else "not explained"
    )


def print_checkpoints() -> None:
    """Each published size beside the modules', with or without MTP layers, whichever is nearer."""
    from vllmlint.memory.checkpoint import checkpoint_bytes

    offs = []
    for model_id in catalogue_ids():
        architecture = find_architecture(model_id)
        assert architecture is not None
        stated = architecture.published.get("checkpoint_gb")
        if stated is None or missing_sizes(architecture):
            continue
        sums = [checkpoint_bytes(architecture, with_mtp=mtp) / 1e9 for mtp in (False, True)]
        nearest = min(sums, key=lambda size: abs(size - stated))
        offs.append(abs(nearest - stated) / stated)
        print(f"{model_id:52} {stated:9.3f} GB stated {nearest:9.3f} computed {nearest / stated - 1:+.2%}")
    offs.sort()
    print(f"{len(offs)} sizes, median {offs[len(offs) // 2]:.2%}")


def main() -> int:
    """Print the comparison; 0 where enough rows agree."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-v", action="store_true", help="print every row")
    parser.add_argument("--limit", type=float, default=0.2, help="percent")
    parser.add_argument("--checkpoints", action="store_true", help="compare sizes of files")
    options = parser.parse_args()
    if options.checkpoints:
        print_checkpoints()
        return 0
    total = near = exact = 0
    for row in rows():
        total += 1
        percent = row.percent
        within = percent is not None and abs(percent) <= options.limit
        near += within
        exact += percent == 0
        if options.v or not within:
            off = "cannot tell" if percent is None else f"{percent:+.3f} %"
            why = "" if within else f"  {reason(row)}"
            print(
                f"{row.architecture.id:52} stated {row.stated:>17,}"
                f" computed {row.computed or 0:>17,} {off}{why}"
            )
    print(
        f"within {options.limit} %: {near} of {total} ({100 * near / total:.1f} %), to the parameter: {exact}"
    )
    return 0 if near >= TARGET * total else 1


if __name__ == "__main__":
    raise SystemExit(main())
