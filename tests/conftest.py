"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# Time is measured by benches: a rule is no less true on a machine that is busy.
settings.register_profile("suanmesh", deadline=None)
settings.load_profile("suanmesh")
