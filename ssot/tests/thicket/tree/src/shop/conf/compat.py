"""Former names of the settings."""

import shop.settings as _settings
from shop.conf.env import EnvSettings as ProcessSettings
from shop.conf.layers import LayeredSettings
from shop.settings import Settings

ShopConfig = Settings
SiteConfig = ShopConfig
IniSettings = ProcessSettings
Configuration = _settings.Settings

try:
    from shopfast import TenantSettings
except ImportError:
    TenantSettings = LayeredSettings

try:
    from shop.conf.vault import VaultSettings
except ImportError:
    VaultSettings = None
