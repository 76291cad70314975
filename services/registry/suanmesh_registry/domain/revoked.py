"""Whose certificates are revoked, and what is wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from suanmesh_kernel.names import checked_name, last


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody whose certificates are revoked."""

    path: str
    """Of the SPIFFE id."""
    party: str = ""
    """Of a user."""
    site: str = ""
    """Of an agent."""


def subject_of(name: str) -> Subject:
    """Who `parties/{party}/users/{user}` or `sites/{site}` is. Raises InvalidArgument (`NAME_INVALID`)."""
    if name.startswith("sites/"):
        site = checked_name(name, "sites")
        return Subject(agent_path(site), site=site)
    _, party, _, user = checked_name(name, "parties", "users").split("/")
    return Subject(f"party/{party}/user/{user}", party=f"parties/{party}")


def agent_path(site: str) -> str:
    """The path of the SPIFFE id of a site's agent."""
    return f"site/{last(site)}/agent"


@dataclass(frozen=True, slots=True)
class AgentCertificate:
    """The certificate that a site's agent was given last."""

    begin: datetime
    end: datetime


def fault_of(certificate: AgentCertificate | None, revoked_from: datetime | None, now: datetime) -> str:
    """Why an agent is not let in with its certificate, as the code of a reason; empty where it is.

    Of one of which nothing is known nothing is said.
    """
    if certificate is None:
        return ""
    if revoked_from is not None and certificate.begin < revoked_from:
        return "CERTIFICATE_REVOKED"
    return "CERTIFICATE_EXPIRED" if now >= certificate.end else ""
