"""The `shiwu` command."""
