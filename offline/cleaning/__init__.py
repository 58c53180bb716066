"""Turning raw feeds and crawled pictures into a clean gallery: pure functions on arrays."""
