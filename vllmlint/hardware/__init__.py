"""GPU and node profiles."""
