"""Development tokens say what a server checks."""

import jwt
import pytest

from goldenpath.compose.tokens import mint
from goldenpath.config import Settings
from goldenpath.errors import ConfigError

SECRET = "s" * 32


def test_a_token_holds_user_roles_issuer_audience_and_end() -> None:
    settings = Settings(auth_secret=SECRET, auth_issuer="https://issuer", auth_audience="app")
    token = mint(settings, "ada", 4_000_000_000, 60.0, ["operator"])
    assert jwt.decode(
        token, SECRET, algorithms=["HS256"], audience="app", options={"verify_iat": False}
    ) == {
        "sub": "ada",
        "iat": 4_000_000_000,
        "exp": 4_000_000_060,
        "roles": ["operator"],
        "iss": "https://issuer",
        "aud": "app",
    }


@pytest.mark.parametrize("secret", [None, "short"])
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(secret: str | None) -> None:
    with pytest.raises(ConfigError, match="GOLDENPATH_AUTH_SECRET") as caught:
        mint(Settings(auth_secret=secret), "ada", 0, 60.0)
    assert "short" not in str(caught.value)
