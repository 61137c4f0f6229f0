"""Settings of notify."""

from __future__ import annotations

from shared.settings import ServiceSettings


class NotifySettings(ServiceSettings):
    """What every service needs, and nothing besides."""
