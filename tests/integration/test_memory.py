"""A replica whose GPU is full takes no new stream, and says so through the API; those that run go on."""

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest

from loadtest.redis_server import RedisServer, free_port
from services import MESH
from services.__main__ import build
from shared.app import Settings, running


async def test_a_full_gpu_is_a_429_until_it_has_memory_again(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = tmp_path / "reading"
    reading.write_text("9000, 24000\n")
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\ncat {reading}\n")
    driver.chmod(0o755)
    told = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "ASR_DEVICE": "cuda", "INGEST_FILES": str(tmp_path)}
    told |= {f"{stage}_ENGINE": "scripted" for stage in ("ASR", "TRANSLATOR", "TTS")}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shared.app.LOOK", 0.1)
    monkeypatch.setattr("shared.bus.connection.OFFER_SECONDS", 0.3)
    settings = Settings(redis_url=redis_server.url.replace("/0", "/7"), port=free_port())
    base = f"http://127.0.0.1:{settings.port}/v1/streams"

    async with (
        running(MESH, build(["ingest", "asr", "segmenter", "translator", "tts"]), settings),
        aiohttp.ClientSession() as client,
    ):

        async def start(number: int) -> tuple[int, str, str]:
            body = {"url": f"file:{number}.ts", "languages": ["es"]}
            async with client.post(base, json=body) as answer:
                return answer.status, answer.headers.get("Retry-After", ""), (await answer.json()).get("detail", "")

        async def until(status: int, first: int) -> tuple[int, str, str]:
            async with asyncio.timeout(10):
                while (found := await start(first))[0] != status:
                    await asyncio.sleep(0.1)
                    first += 1
            return found

        assert (await until(201, 1))[0] == 201
        reading.write_text("200, 24000\n")
        _, retry, detail = await until(429, 100)
        assert retry == "60"
        assert "asr: cuda has 0.2 of 25.2 GB of memory left" in detail
        assert (await start(1))[0] == 200
        reading.write_text("9000, 24000\n")
        assert (await until(201, 200))[0] == 201
