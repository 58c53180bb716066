"""Running released models: the manifest, the `ModelRunner` port and its adapters."""
