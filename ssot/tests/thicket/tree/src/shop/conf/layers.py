"""Settings on top of settings."""

from typing import final

from ..settings import DEFAULT_CURRENCY, Settings


class LayeredSettings(Settings):
    def __init__(self, values):
        super().__init__({"currency": DEFAULT_CURRENCY} | dict(values))

    def get(self, key, default=None):
        value = super().get(key, default)
        return value.strip() if isinstance(value, str) else value


@final
class TenantSettings(LayeredSettings):
    tenant = "main"

    def title(self):
        return self.tenant.title()
