"""A refusal that came from another service and is passed on as it is."""

from __future__ import annotations


class Relayed(Exception):
    """Ends a forwarded call with the very status it was answered with."""

    def __init__(self, code: str, message: str, details: bytes) -> None:
        """`details` is the serialized google.rpc.Status, or empty."""
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.details = details
