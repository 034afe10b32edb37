"""Every setting: name, kind, default and help, as one struct that is also the table of flags.

A field `auth_audience` is the flag `--auth-audience`, the variable `GOLDENPATH_AUTH_AUDIENCE` and
`auth-audience` (or `audience` below `[auth]`) in `goldenpath.toml`. The limits of `engine.limits`
are settings too: `message_bytes` is `--limit-message`, `run_seconds` is `--limit-run`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from goldenpath.config.units import (
    DURATION_REMEDY,
    SIZE_REMEDY,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from goldenpath.engine.limits import Limits
from goldenpath.errors import ConfigError

Kind = Literal["text", "choice", "count", "number", "duration", "size", "list", "port", "address"]
DEFAULT_STORE = "sqlite:///goldenpath.db"


class _About(msgspec.Struct, frozen=True):
    """Beside a field: how its value is read, what it means, whether it is a flag."""

    kind: Kind
    help: str
    secret: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `goldenpath serve` can be told. Durations are seconds."""

    host: Annotated[str, _About("text", "address to serve clients on")] = "127.0.0.1"
    port: Annotated[int, _About("port", "port to serve clients on")] = 8700
    ops_bind: Annotated[
        str, _About("address", "address of /metrics, /healthz and /readyz; keep it private")
    ] = "127.0.0.1:8701"
    name: Annotated[
        str | None, _About("text", "what operators call this host; without: its hostname:port")
    ] = None
    store: Annotated[
        str, _About("text", "where users' logs are kept: sqlite:///path or postgresql://...")
    ] = DEFAULT_STORE
    durability: Annotated[
        Literal["full", "process"],
        _About("choice", "full: survives loss of power; process: only the process's death"),
    ] = "full"
    drain: Annotated[
        float,
        _About("duration", "at shutdown, how long runs may go on before they are handed over"),
    ] = 60.0
    auth: Annotated[
        Literal["hs256", "jwks"],
        _About("choice", "how tokens are checked: a shared secret, or an issuer's published keys"),
    ] = "hs256"
    auth_secret: Annotated[
        str | None,
        _About("text", "secret of hs256, at least 32 bytes; only in the environment", secret=True),
    ] = None
    auth_jwks_url: Annotated[str | None, _About("text", "where jwks finds the issuer's keys")] = (
        None
    )
    auth_issuer: Annotated[str | None, _About("text", "tokens must name this issuer (iss)")] = None
    auth_audience: Annotated[str | None, _About("text", "tokens must name this audience (aud)")] = (
        None
    )
    allow_origin: Annotated[
        tuple[str, ...],
        _About(
            "list", "origins of browser pages that may connect, beside the server's own; * is any"
        ),
    ] = ()
    retention: Annotated[
        float | None,
        _About("duration", "erase runs that ended longer ago, and their threads: 90d; off: never"),
    ] = None
    keep_pieces: Annotated[
        float, _About("duration", "how long after a run's end its pieces and journal are kept")
    ] = 7 * 86400.0
    webhook_url: Annotated[
        str | None,
        _About("text", "told of answers that nobody received: https://host/path"),
    ] = None
    webhook_after: Annotated[
        float, _About("duration", "how long an answer stays undelivered before that is told")
    ] = 300.0
    webhook_secret: Annotated[
        str | None,
        _About(
            "text",
            "signs webhooks: whsec_ and 24 to 64 bytes in base64; only in the environment",
            secret=True,
        ),
    ] = None
    webhook_allow_private: Annotated[
        Literal["no", "yes"],
        _About("choice", "yes: webhook-url may be in a private network, and be http://"),
    ] = "no"
    log_format: Annotated[
        Literal["auto", "json", "text"],
        _About("choice", "diagnostics on stderr; auto: text on a terminal, else json"),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _About("choice", "least diagnostics to write")
    ] = "info"
    watchdog: Annotated[
        float, _About("duration", "name code that blocks the event loop for longer than this")
    ] = 0.25
    limits: Limits = Limits()


_LIMITS_HELP = {
    "message_bytes": "largest text of a message",
    "frame_bytes": "largest frame or request body from a client",
    "answer_bytes": "largest answer of a run",
    "result_event_bytes": "largest tool result shown in an event",
    "result_journal_bytes": "largest tool result kept in the journal",
    "runs_at_once": "runs of one user at once",
    "runs_waiting": "waiting runs of one user",
    "sockets_per_user": "sockets of one user; the oldest gives way",
    "devices_per_user": "devices of one user whose cursors are kept",
    "commands_per_minute": "commands of one user in a minute",
    "run_seconds": "active time of a run",
    "tool_seconds": "time of one call of a tool",
    "approval_seconds": "how long an approval waits for the user",
    "child_depth": "how deep runs may start child runs",
    "child_width": "child runs of one run at once",
    "host_runs_at_once": "runs of all users at once on this host",
    "threads_per_user": "synchronous tools of one user at once",
    "coalesce_seconds": "how long pieces are gathered before they are appended",
    "park_seconds": "a run that waits longer than this leaves the memory",
    "linger_seconds": "an idle engine goes away after this",
    "cancel_seconds": "what a cancelled body gets to stop before it is abandoned",
    "abandoned_bodies": "abandoned bodies kept before new runs wait",
    "stall_seconds": "a replay that waits this long for what cannot come has failed",
    "unsent_bytes": "text of a run that may wait for the store",
    "history_messages": "earlier messages given to an agent",
}


class Setting(msgspec.Struct, frozen=True):
    """One row of the table. `field` is in `Settings`, or in `Limits` when `limit` is true."""

    name: str
    field: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    limit: bool = False
    optional: bool = False

    @property
    def flag(self) -> str:
        """The flag, `--auth-audience`."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable, `GOLDENPATH_AUTH_AUDIENCE`."""
        return "GOLDENPATH_" + self.name.upper().replace("-", "_")

    @property
    def shown_default(self) -> str:
        """The default as a person would write it."""
        if self.default is None or self.default == ():
            return "none"
        if self.kind == "duration":
            return format_duration(self.default)
        return format_size(self.default) if self.kind == "size" else str(self.default)

    def parse(self, text: str, source: str) -> Any:
        """Parse a value. Raises `ConfigError`: source, value and remedy in one line."""
        text = text.strip()
        if self.optional and text.lower() in ("", "none", "off"):
            return None
        try:
            return self._parse(text)
        except ValueError as error:
            shown = "(hidden)" if self.secret else repr(text)
            raise ConfigError(f"{source}: {shown} cannot be used; {error}") from None

    def _parse(self, text: str) -> Any:
        match self.kind:
            case "text":
                if not text:
                    raise ValueError("give a text that is not empty")
                return text
            case "choice":
                if text not in self.choices:
                    raise ValueError(f"give one of: {', '.join(self.choices)}")
                return text
            case "list":
                return tuple(part.strip() for part in text.split(",") if part.strip())
            case "duration":
                return _positive(parse_duration(text), DURATION_REMEDY, self.name == "drain")
            case "size":
                return _positive(parse_size(text), SIZE_REMEDY, False)
            case "address":
                return _address(text)
            case "port":
                return _whole(text, 0, 65535)
            case _:
                return _whole(text, 1, 1_000_000_000)


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port` (`[::1]:8701` for IPv6) as `Setting.parse` accepted it."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host.strip("[]"):
        raise ValueError("give host:port, such as 127.0.0.1:8701")
    _whole(port, 0, 65535)
    return text


def _whole(text: str, least: int, most: int) -> int:
    remedy = f"give a whole number from {least} to {most}"
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(remedy)
    return int(text)


def _positive(number: Any, remedy: str, zero: bool) -> Any:
    if number > 0 or zero:
        return number
    raise ValueError(f"it must be more than 0: {remedy}")


def _of_settings() -> list[Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    rows: list[Setting] = []
    for field in msgspec.structs.fields(Settings):
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            continue
        type_, about = get_args(hint)
        choices = get_args(type_) if get_origin(type_) is Literal else ()
        rows.append(
            Setting(
                name=field.name.replace("_", "-"),
                field=field.name,
                kind=about.kind,
                default=field.default,
                help=about.help,
                choices=choices,
                secret=about.secret,
                optional=field.default is None,
            )
        )
    return rows


def _of_limits() -> list[Setting]:
    rows: list[Setting] = []
    for field in msgspec.structs.fields(Limits):
        stem, _, unit = field.name.rpartition("_")
        kind: Kind = {"bytes": "size", "seconds": "duration"}.get(unit, "count")  # type: ignore[assignment]
        name = field.name if kind == "count" else stem
        rows.append(
            Setting(
                name="limit-" + name.replace("_", "-"),
                field=field.name,
                kind=kind,
                default=field.default,
                help=_LIMITS_HELP.get(field.name, field.name.replace("_", " ")),
                limit=True,
            )
        )
    return rows


SETTINGS: dict[str, Setting] = {row.name: row for row in (*_of_settings(), *_of_limits())}
"""Every setting by its name, in the order of `goldenpath serve --help`."""
