"""Settings of learning: those of every service."""

from __future__ import annotations

from shared.settings import ServiceSettings


class LearningSettings(ServiceSettings):
    """Nothing besides."""
