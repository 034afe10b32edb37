"""What every way into this server shares: the host, who may ask, the limits, the agents."""

from __future__ import annotations

import msgspec

from goldenpath.engine.host import EngineHost
from goldenpath.errors import RefusedError
from goldenpath.server.auth import Authenticator
from goldenpath.server.settings import ServerSettings
from goldenpath.wire.frames import AgentInfo


class Service:
    """One host as its clients see it."""

    def __init__(
        self, host: EngineHost, auth: Authenticator, settings: ServerSettings, version: str
    ) -> None:
        self.host = host
        self.store = host.store
        self.auth = auth
        self.settings = settings
        self.version = version
        self.limits: dict[str, int | float] = msgspec.to_builtins(host.limits)
        self.agents = [
            AgentInfo(name=a.name, description=a.description, version=a.version)
            for a in host.agents
        ]

    def check_accepting(self) -> None:
        """Raise RefusedError where no new reader is taken, since this server is going away."""
        if not self.host.accepting:
            raise RefusedError("unavailable", "This server is shutting down.", retryable=True)
