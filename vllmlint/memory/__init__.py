"""GPU and host memory, as pure arithmetic over a resolved engine configuration."""
