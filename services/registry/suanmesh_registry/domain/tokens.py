"""Join tokens: a one-time right to join as a site of one party, or as one user of it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from suanmesh_kernel.names import ID_PATTERN, checked_id
from suanmesh_kernel.refusals import AlreadyExists, InvalidArgument, Unauthenticated

TTL_S_DEFAULT = 3_600
TTL_S_MAX = 86_400
ID_BYTES = 16
SECRET_BYTES = 32
TOKEN_LENGTH_MAX = 400


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What is kept of an issued token; the secret itself is not."""

    name: str
    party: str
    secret_digest: bytes
    expire_time: datetime
    spent_on: str = ""
    keys_digest: bytes = b""
    user: str = ""
    """Last part of the name of the user it is for; empty where it is for a site."""
    site: str = ""
    """The one site that it lets join again; empty where it is for one that has not joined."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What a token is made of; derived from the request for it, so that a repeat gets the same and nobody keeps it."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token's parts as its bearer shows them."""

    name: str
    secret: str


def issued(
    party: str, user: str, ttl_s: int, ca_digest: str, now: datetime, key: TokenKey, *, site: str = ""
) -> tuple[JoinToken, str]:
    """A new token for a site of `party`, for its `user`, or for its `site` that joined before: what is kept, and the
    text that is shown once.

    Raises InvalidArgument (`FIELD_INVALID`, `NAME_INVALID`) for a time to live out of range, or a name that is none.
    """
    if user:
        checked_id(user, field="user")
    if user and site:
        raise InvalidArgument("FIELD_INVALID", "site: a token is for a user or for a site", field="site")
    if not 0 <= ttl_s <= TTL_S_MAX:
        raise InvalidArgument("FIELD_INVALID", f"ttl_s: {ttl_s} is not within 0 to {TTL_S_MAX}", field="ttl_s")
    expire_time = now + timedelta(seconds=ttl_s or TTL_S_DEFAULT)
    kept = JoinToken(f"joinTokens/{key.id}", party, _digest(key.secret), expire_time, user=user, site=site)
    return kept, f"sjt1.{key.id}.{key.secret}.{ca_digest}"


def issued_before(standing: JoinToken, asked: JoinToken) -> JoinToken:
    """What stands under the id of a token that is asked for again.

    Raises InvalidArgument (`REQUEST_ID_REUSED`) where it was asked for with another body.
    """
    if not hmac.compare_digest(standing.secret_digest, asked.secret_digest):
        raise InvalidArgument(
            "REQUEST_ID_REUSED", "the request_id was used before with another body", field="request_id"
        )
    return standing


def shown(text: str) -> ShownToken:
    """Take a token apart.

    Raises Unauthenticated (`JOIN_TOKEN_INVALID`), which never repeats the text.
    """
    parts = text.split(".") if len(text) <= TOKEN_LENGTH_MAX else []
    if len(parts) != 4 or parts[0] != "sjt1" or not ID_PATTERN.fullmatch(parts[1]):
        raise invalid()
    return ShownToken(f"joinTokens/{parts[1]}", parts[2])


def spent_by_site(token: JoinToken, bearer: ShownToken, site: str, keys_digest: bytes, now: datetime) -> JoinToken:
    """The token after `site` joined with it; unchanged when the same site and keys show it again.

    Raises Unauthenticated (`JOIN_TOKEN_INVALID`) for a wrong secret, a lapsed token, one for a user and one spent on
    another site, and AlreadyExists (`SITE_EXISTS`) for one spent on this site with other keys.
    """
    _require_secret(token, bearer)
    if token.user or token.site not in ("", site):
        raise invalid()
    if token.spent_on == site and token.keys_digest != keys_digest:
        raise AlreadyExists("SITE_EXISTS", f"{site} is enrolled with other keys", name=site)
    return _spent(token, site, keys_digest, now)


def spent_by_user(token: JoinToken, bearer: ShownToken, principal: str, keys_digest: bytes, now: datetime) -> JoinToken:
    """The token after the user `principal` has joined with it; unchanged when it is shown again with the same key.

    Raises Unauthenticated (`JOIN_TOKEN_INVALID`) for a wrong secret, a lapsed token, one for a site and a spent one.
    """
    _require_secret(token, bearer)
    if not token.user or (token.spent_on and token.keys_digest != keys_digest):
        raise invalid()
    return _spent(token, principal, keys_digest, now)


def _require_secret(token: JoinToken, bearer: ShownToken) -> None:
    if not hmac.compare_digest(_digest(bearer.secret), token.secret_digest):
        raise invalid()


def _spent(token: JoinToken, by: str, keys_digest: bytes, now: datetime) -> JoinToken:
    if token.spent_on == by:
        return token
    if token.spent_on or now >= token.expire_time:
        raise invalid()
    return replace(token, spent_on=by, keys_digest=keys_digest)


def keys_digest(tls_key: bytes, signing_key: bytes = b"") -> bytes:
    """One digest over an agent's two public keys, or a user's one."""
    return hashlib.sha256(len(tls_key).to_bytes(4, "big") + tls_key + signing_key).digest()


def invalid() -> Unauthenticated:
    """The one refusal for every way a token can be wrong, so that guessing learns nothing."""
    return Unauthenticated("JOIN_TOKEN_INVALID", "the join token is unknown, used or past its time")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
