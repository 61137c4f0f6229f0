"""Settings of participation: those of every service."""

from __future__ import annotations

from shared.settings import ServiceSettings


class ParticipationSettings(ServiceSettings):
    """Nothing besides."""
