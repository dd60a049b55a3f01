"""JSON text with one list item a line: quick to write, and still readable and diffable.

`json.dumps` with an indent falls back to its slow Python encoder, which takes several times as
long on a large run; so each item is encoded on its own by the C encoder and the lines are joined here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json import JSONEncoder

# ASCII output: it fits every terminal encoding, carries no control characters of a manifest to the
# terminal, and has a form even for lone surrogates
_ENCODER = JSONEncoder(ensure_ascii=True, check_circular=False)

#: The JSON text of one value, on one line.
encode = _ENCODER.encode


def array(items: Iterable[object], indent: str) -> str:
    """A JSON array with one item a line; `indent` is that of the line on which it starts."""
    separator = f",\n{indent}  "
    body = separator.join(map(encode, items))
    return f"[\n{indent}  {body}\n{indent}]" if body else "[]"


def members(texts: Mapping[str, str], indent: str) -> str:
    """A JSON object with one member a line; the values are JSON texts already."""
    separator = f",\n{indent}  "
    body = separator.join(f"{encode(key)}: {text}" for key, text in texts.items())
    return f"{{\n{indent}  {body}\n{indent}}}"
