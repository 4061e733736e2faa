"""Secrets from files: they reach whoever needs them, and show nowhere."""

import hashlib
import logging
import os
from pathlib import Path

import httpx
import pytest

from loadtest.redis_server import RedisServer, free_port
from services import MESH
from services.__main__ import build, main
from services.ingest.service import Settings as Ingest
from services.sender.service import Settings as Sender
from services.translator.engines.deepl import DeepL
from shared.app import Settings, running
from shared.settings import LARGEST, add_secrets

KEYS = f"ann={hashlib.sha256(b'first').hexdigest()}"
SECRETS = {
    "REDIS_URL": "redis://asr:opensesame-redis@127.0.0.1:6379/0",
    "PLAYBACK_SECRET": "opensesame-playback",
    "INGEST_KEYS": KEYS,
    "DEEPL_AUTH_KEY": "opensesame-deepl:fx",
    "AWS_SECRET_ACCESS_KEY": "opensesame-store",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every secret, as Docker and Kubernetes mount them, and an environment without them."""
    (tmp_path / "..data").mkdir()
    for name, value in SECRETS.items():
        monkeypatch.delenv(name, raising=False)
        (tmp_path / "..data" / name).write_text(f"{value}\n")
        (tmp_path / name).symlink_to(tmp_path / "..data" / name)
    (tmp_path / "notes.txt").write_text("no secret of ours")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return tmp_path


def test_every_secret_may_stand_in_a_file(folder: Path) -> None:
    add_secrets(os.environ)
    assert Settings().redis_url == SECRETS["REDIS_URL"]
    assert (Ingest().secret, Ingest().keys) == (SECRETS["PLAYBACK_SECRET"], KEYS)
    assert Sender().secret == SECRETS["PLAYBACK_SECRET"]
    assert DeepL()._key == SECRETS["DEEPL_AUTH_KEY"]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRETS["AWS_SECRET_ACCESS_KEY"]
    assert not {"notes.txt", "..data"} & set(os.environ)


def test_what_the_environment_says_goes_before_unless_it_says_nothing(folder: Path) -> None:
    environment = {"SECRETS_DIR": str(folder), "PLAYBACK_SECRET": "the environment's own", "REDIS_URL": ""}
    add_secrets(environment)
    assert environment["PLAYBACK_SECRET"] == "the environment's own"
    assert environment["REDIS_URL"] == SECRETS["REDIS_URL"]
    nothing: dict[str, str] = {}
    add_secrets(nothing)
    assert nothing == {}


@pytest.mark.parametrize("body", [b"\xff\xfeopensesame", b"open\0sesame", b"opensesame" * LARGEST])
def test_a_file_that_is_no_secret_stops_the_process_and_is_named_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    (folder / "SOME_KEY").write_bytes(body)
    assert main(["ingest"]) == 1
    said = capsys.readouterr().err
    assert "SOME_KEY" in said
    assert "sesame" not in said


def test_a_folder_that_is_not_there_stops_the_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS_DIR", "/no/such/folder")
    assert main(["ingest"]) == 1
    assert "SECRETS_DIR: /no/such/folder" in capsys.readouterr().err


async def test_no_secret_is_logged_or_served(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    password = "opensesame-redis"
    told = ""
    with RedisServer("--requirepass", password) as server, caplog.at_level(logging.DEBUG):
        (folder / "REDIS_URL").unlink()
        (folder / "REDIS_URL").write_text(server.url.replace("//", f"//default:{password}@"))
        add_secrets(os.environ)
        settings = Settings(port=free_port())
        async with (
            running(MESH, build(["ingest", "sender", "dashboard"]), settings),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}") as client,
        ):
            for path in ("/metrics", "/readyz", "/openapi.json", "/v1/streams", "/v1/usage", "/dashboard/streams"):
                answer = await client.get(path)
                assert answer.status_code == 200, path
                told += answer.text
    assert caplog.records
    assert [secret for secret in (*SECRETS.values(), password) if secret in told + caplog.text] == []
