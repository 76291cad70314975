"""What may be asked of a mirror of Python packages: names and versions.

pip takes far more in the same place: options, addresses, paths and repositories. None of that may come from a job,
since an agent looks for the packages outside of any sandbox.
"""

from __future__ import annotations

import re

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|==|~=|!=|<=|>=|<|>) ?[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
REQUIREMENT_PATTERN = re.compile(rf"(?:{_NAME})(?: ?\[{_NAME}(?:, ?{_NAME})*\])?(?: ?{_VERSION}(?: ?, ?{_VERSION})*)?")
"""One package with its extras and the versions that will do: of PEP 508 what needs neither an address nor a marker."""
