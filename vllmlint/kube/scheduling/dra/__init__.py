"""Dynamic resource allocation: which claims a node's devices can satisfy (`scheduling.md` 7)."""
