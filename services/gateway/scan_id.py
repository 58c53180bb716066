"""Keys of scans."""

from __future__ import annotations

import secrets
import time
import uuid


def new_scan_id() -> str:
    """A UUID version 7 (RFC 9562): the time in milliseconds, then 74 random bits; sorts by time."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=value | 0b10 << 62 | secrets.randbits(62)))
