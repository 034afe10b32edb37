"""Addresses are checked, and answers that are no answers of ours become refusals."""

import httpx
import pytest

from goldenpath.client.connection import socket_url
from goldenpath.client.http import base_url, refusal
from goldenpath.client.tokens import expires
from goldenpath.errors import ConfigError


@pytest.mark.parametrize("url", ["", "127.0.0.1:8700", "ws://x", "http://", "ftp://x"])
def test_an_address_that_cannot_work_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="url"):
        base_url(url)


def test_the_socket_is_beside_the_api() -> None:
    assert socket_url(base_url("https://x.example/app/")) == "wss://x.example/app/v1/socket"
    assert socket_url(base_url("http://127.0.0.1:8700")) == "ws://127.0.0.1:8700/v1/socket"


def test_a_problem_keeps_its_code_and_anything_else_its_status() -> None:
    body = {"code": "not_found", "message": "no such thread", "retryable": False}
    error = refusal(httpx.Response(404, json=body))
    assert (error.code, error.message, error.retryable) == ("not_found", "no such thread", False)
    error = refusal(httpx.Response(502, text="<html>"))
    assert (error.code, error.message, error.retryable) == ("unavailable", "HTTP 502", True)


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "a.!!.c", "a.e30.c"])
def test_what_has_no_expiry_has_none(token: str) -> None:
    assert expires(token) is None
