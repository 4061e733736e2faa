"""Shows what every stream is doing; reads events and decides nothing."""

import asyncio
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from services.dashboard.pages import pages
from shared.bus import Service

ROOT = Path(__file__).parents[2]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="DASHBOARD_", use_attribute_docstrings=True)

    every: float = 1.0
    """Seconds between two updates of a page."""
    modules: Path = ROOT / "node_modules"
    """Where npm put the chart library."""


def create(settings: Settings | None = None) -> Service:
    """Returns the dashboard: pages alone, no stage."""
    settings = settings or Settings()
    service = Service("dashboard")
    closing = asyncio.Event()

    async def close() -> None:
        closing.set()

    service.on_stop(close)
    service.router = pages(lambda: service.bus, settings.modules, settings.every, closing)
    return service
