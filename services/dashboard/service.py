"""Shows what every stream is doing; reads events and decides nothing."""

import asyncio
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.dashboard.busy import Loads
from services.dashboard.pages import pages
from shared.bus import Service

ROOT = Path(__file__).parents[2]
BUSY = 5.0
"""Seconds over which a busy ratio is taken."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="DASHBOARD_", use_attribute_docstrings=True, populate_by_name=True)

    every: float = 1.0
    """Seconds between two updates of a page."""
    modules: Path = ROOT / "node_modules"
    """Where npm put the chart library."""
    metrics: str = ""
    """Processes whose stages' busy ratio is shown, `host:port` with commas; a host may have several addresses, one a
    replica. Empty: this process."""
    port: int = Field(default=8080, validation_alias="PORT")
    """HTTP port."""

    @property
    def addresses(self) -> list[str]:
        """Where metrics are read."""
        return [one.strip() for one in self.metrics.split(",") if one.strip()] or [f"127.0.0.1:{self.port}"]


def create(settings: Settings | None = None) -> Service:
    """Returns the dashboard: pages alone, no stage."""
    settings = settings or Settings()
    service = Service("dashboard")
    closing = asyncio.Event()

    async def close() -> None:
        closing.set()

    service.on_stop(close)
    loads = Loads(settings.addresses, max(BUSY, settings.every))
    service.router = pages(lambda: service.bus, settings.modules, settings.every, closing, loads)
    return service
