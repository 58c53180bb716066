"""Durable jobs: killed anywhere, they go on where they were and end with the same bytes."""
