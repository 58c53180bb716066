"""How property tests run: their examples take as long as the machine lets them, which has other tests to run, too."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("shiwu", deadline=None)
settings.load_profile("shiwu")
