"""How much one manifest may hold: beyond this a file is an attack or a mistake, not a manifest."""

from __future__ import annotations

#: etcd refuses an object above 1.5 MiB; a file of many rendered objects stays well below this.
MAX_FILE_BYTES = 16 * 1024 * 1024
#: A cluster dump may hold thousands of objects; ten thousand documents are no manifest.
MAX_DOCUMENTS = 5_000
#: The deepest objects in use (CRD schemas) nest about 60 levels; the Kubernetes API stops at 10,000.
MAX_DEPTH = 200
#: Nodes of one document after its aliases are expanded (an alias bomb grows to billions).
MAX_EXPANDED_NODES = 1_000_000
