"""What is taken out of a support bundle, and what stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_chassis.signing import new_signing_key, private_pem
from suanmesh_local.redaction import REDACTED, redacted

letters = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-", min_size=8, max_size=60)

FORMS = (
    "SUANMESH_ACCOUNTING_DATABASE=postgresql://ledger:{}@db.example/ledger",
    'OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20{}"',
    "SUANMESH_ACCOUNTING_DATABASE=postgresql://ledger:half/{}@db.example/ledger",
    '{{"database": "postgresql+psycopg://ledger:half@{}@db.example:5432/ledger?sslmode=require"}}',
    "psql postgresql://db.example/ledger?user=ledger&password={} failed",
    "opened by AGE-SECRET-KEY-1{}",
    "OTEL_EXPORTER_OTLP_HEADERS=x-key={}",
    '{{"api_key": "{}", "event": "x"}}',
    "{{'password': '{}'}}",
    "Authorization: Bearer {}",
    "client_secret = {}",
    "JOIN_TOKEN={}",
    "suan-invite-1.{}",
    "enrolled with sjt1.{} then",
    "it said bearer {} and went",
    "HEADERS=x-team=blue,x-other={}",
    '{{"message": "sent {{\\"api_key\\": \\"{}\\"}} there", "level": "error"}}',
)


@pytest.mark.parametrize("form", FORMS)
@given(secret=letters)
def test_a_secret_does_not_stay_in_whatever_form_it_comes(form: str, secret: str) -> None:
    """Who passes a bundle on passes on no way to act as somebody else."""
    secret = f"s{secret}Z"
    after = redacted(f"before\n{form.format(secret)}\nafter")

    assert secret not in after
    assert (after.startswith("before\n"), after.endswith("\nafter")) == (True, True)
    assert redacted(after) == after


@pytest.mark.parametrize("_again", range(20))
def test_a_key_does_not_stay(_again: int) -> None:
    """Also where it is cut off, or stands in a line of a log."""
    pem = private_pem(new_signing_key()).decode()
    body = pem.splitlines()[1]

    for text in (pem, pem[:-30], json.dumps({"message": f"read {pem}", "level": "error"}), f"key {body} x"):
        assert body not in redacted(text)
        assert REDACTED in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        'rpc_server_call_duration_seconds_count{rpc_method="suanmesh.registry.v1.RegistryService/GetSite"} 3.0',
        "trace 1eda16f51b7e362234157e6d801f7e08 of spiffe://demo/party/acme/user/ann",
        '{"event": "call served", "code": "OK", "method": "suanmesh.transport.v1.TransportService/GetTicketKey"}',
        "datasets/digits@2 af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "SUANMESH_NODE=pilot\nSUANMESH_LISTEN=127.0.0.1:7443",
        "https://127.0.0.1:7443/v1/traces of datasets/digits@2, postgresql:///ledger and http://collector.example:4318",
    ],
)
def test_what_helps_stays(text: str) -> None:
    """A bundle in which everything is blackened tells nobody anything."""
    assert redacted(text) == text
