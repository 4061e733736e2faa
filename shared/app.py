"""One process: its stages on the bus, their HTTP sides on one port, health and metrics beside them."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import memory, tracing
from shared.bus import Connection, Mesh, Service
from shared.bus.metrics import process_metrics
from shared.context import Offer

log = logging.getLogger(__name__)

LOOK = 10.0
"""Seconds between two looks at the memory that is left."""


class Settings(BaseSettings):
    """Of every process, whatever services it runs."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Where the mesh meets."""
    bus_shards: int = 1
    """Hash slots that streams are spread over; fixed for the life of a deployment."""
    host: str = "127.0.0.1"
    """Address of the HTTP port."""
    port: int = 8080
    """HTTP port: API, playlists, pages, health, metrics."""
    trace: str = ""
    """OTLP collector that gets a trace per utterance, such as http://collector:4318/v1/traces; none: off."""
    log_level: str = "INFO"
    """Transcripts appear at DEBUG only."""


class Server(uvicorn.Server):
    """Leaves the signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def application(connection: Connection, services: Sequence[Service]) -> FastAPI:
    """The HTTP sides of these services, with /healthz, /readyz and /metrics."""
    app = FastAPI(title="Dragoman", version="1", description="Dubs live streams while they run.")

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return PlainTextResponse("ok" if connection.alive else "stuck", 200 if connection.alive else 503)

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        ready = await connection.ready()
        return PlainTextResponse("ready" if ready else "redis does not answer", 200 if ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        text = generate_latest(process_metrics().registry) + generate_latest(REGISTRY)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    for service in services:
        if service.router:
            app.include_router(service.router)
        for kind, handler in service.exception_handlers.items():
            app.add_exception_handler(kind, handler)
    return app


@asynccontextmanager
async def running(mesh: Mesh, services: Sequence[Service], settings: Settings) -> AsyncIterator[Connection]:
    """The services at work until the block is left; raises OSError when the port is taken."""
    connection = Connection(settings.redis_url, mesh, services, settings.bus_shards)
    config = uvicorn.Config(
        application(connection, services),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
        ws="none",
    )
    server = Server(config)
    await connection.start()
    traces = tracing.start(settings.trace, connection.stages) if settings.trace else None
    serving, watching = asyncio.create_task(_serve(server)), asyncio.create_task(_watch(services))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if serving.done():
            await serving
        yield connection
    finally:
        server.should_exit = True
        watching.cancel()
        await asyncio.gather(serving, watching, return_exceptions=True)
        await connection.stop()
        if traces:
            await asyncio.to_thread(traces.shutdown)


async def _serve(server: Server) -> None:
    try:
        await server.serve()
    except SystemExit as error:  # how uvicorn says that it could not bind
        raise OSError(f"cannot listen on {server.config.host}:{server.config.port}: is the port taken?") from error


async def _watch(services: Sequence[Service]) -> None:
    """Say in the offers of this process whether its stages have memory for another stream."""
    used, before = memory.devices(os.environ), ""
    while True:
        why = await asyncio.to_thread(memory.shortage, used)
        if why != before:
            log.warning("memory is short" if why else "memory suffices", extra={"why": why})
        for service in services:
            if service.is_stage:
                service.offer((service.offered or Offer()).model_copy(update={"full": why}))
        before = why
        await asyncio.sleep(LOOK)


async def run(mesh: Mesh, services: Sequence[Service], settings: Settings) -> None:
    """Run until SIGINT or SIGTERM."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, done.set)
    async with running(mesh, services, settings):
        log.info("running", extra={"services": [service.name for service in services]})
        await done.wait()
