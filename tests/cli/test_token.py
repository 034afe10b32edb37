"""`goldenpath token` prints a token that the server of the same settings accepts."""

import jwt
import pytest

from tests.cli.conftest import SECRET, Invoke


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDENPATH_AUTH_SECRET", SECRET)


def test_the_token_alone_is_printed(goldenpath: Invoke) -> None:
    code, out, err = goldenpath("token", "ada", "--ttl", "5m", "--role", "operator")
    assert (code, err, len(out.splitlines())) == (0, "", 1)
    claims = jwt.decode(out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["roles"]) == ("ada", ["operator"])
    assert claims["exp"] - claims["iat"] == 300


def test_issuer_and_audience_are_as_configured(goldenpath: Invoke) -> None:
    _, out, _ = goldenpath("token", "ada", "--auth-issuer", "https://i", "--auth-audience", "a")
    claims = jwt.decode(out.strip(), SECRET, algorithms=["HS256"], audience="a", issuer="https://i")
    assert claims["sub"] == "ada"


def test_without_a_secret_it_says_what_to_set(
    goldenpath: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOLDENPATH_AUTH_SECRET")
    code, out, err = goldenpath("token", "ada")
    assert (code, out) == (2, "")
    assert "GOLDENPATH_AUTH_SECRET" in err


@pytest.mark.parametrize("flags", [["ada", "--ttl", "soon"], [""]])
def test_what_cannot_be_used_is_named(goldenpath: Invoke, flags: list[str]) -> None:
    code, _, err = goldenpath("token", *flags)
    assert (code, len(err.splitlines())) == (2, 1)
