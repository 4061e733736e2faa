"""The log of the door: a real nginx is asked for signed links and must not repeat them."""

import getpass
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from loadtest.redis_server import free_port
from shared.links import Links

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx" / "nginx.conf"
SIGNED = Links((b"a secret of more than sixteen characters",)).sign("5f0c2a9d71be", 2_000_000_000)
OPENS = SIGNED.partition("~")[2]
CLIP = "0f9c2a5d71be4c6d8f1e2a3b4c5d6e7f"
ASKED = {
    f"/hls/{SIGNED}/master.m3u8": "/hls/5f0c2a9d71be~-/master.m3u8",
    f"/hls/{SIGNED.replace('~', '%7E')}/video/7.m4s?token={OPENS}": "/hls/5f0c2a9d71be~-/video/7.m4s",
    f"/watch/{SIGNED}": "/watch/5f0c2a9d71be~-",
    f"/v1/watch/{SIGNED}/events?kinds={OPENS}": "/v1/watch/5f0c2a9d71be~-/events",
    f"/v1/clips/{CLIP}/clip.mp4": "/v1/clips/-/clip.mp4",
    f"/v1/clips/{CLIP}": "/v1/clips/-",
    "/v1/streams/5f0c2a9d71be": "/v1/streams/5f0c2a9d71be",
}
"""What is asked for, and what the log may say of it."""


def test_no_variable_that_repeats_a_link_is_logged() -> None:
    text = re.sub(r"#.*", "", CONFIG.read_text())
    (form,) = re.findall(r"log_format plain (.*?);", text, re.DOTALL)
    variables = set(re.findall(r"\$(\w+)", form))
    assert "logged" in variables
    assert variables & {"uri", "request", "request_uri", "args", "query_string", "http_referer"} == set()
    assert not [name for name in variables if name.startswith(("arg_", "cookie_", "http_"))]
    assert set(re.findall(r"access_log ([^\s;]+) ?(\w*);", text)) == {("/dev/stdout", "plain"), ("off", "")}
    assert re.findall(r"error_log \S+ (\w+)", text) == ["alert"]


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_a_real_nginx_logs_who_asked_for_what_without_what_opens_it(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "access.log"
    text = CONFIG.read_text()
    for old, new in {
        "/dev/stdout": str(log),
        "/dev/stderr": str(tmp_path / "error.log"),
        "/tmp/nginx.pid": str(tmp_path / "nginx.pid"),
        "/var/cache/nginx/hls": str(tmp_path / "cache"),
        "listen 80;": f"listen 127.0.0.1:{port};",
        "worker_processes auto;": f"worker_processes 1; daemon off; user {getpass.getuser()};",
        "resolver 127.0.0.11": "resolver 127.0.0.1:1",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    # Nobody answers behind the door, which is when nginx says most about requests.
    text = re.sub(r"set \$(ingest|sender|dashboard) \S+;", r"set $\1 127.0.0.1:1;", text)
    (tmp_path / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        ["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL
    )
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}") as client:
            for path in ASKED:
                assert client.get(path, headers={"Referer": f"http://x/watch/{SIGNED}"}).status_code == 502
    finally:
        process.terminate()
        process.wait(10)
    lines = log.read_text().splitlines()
    assert [line.split('"')[1] for line in lines] == [f"GET {shown}" for shown in ASKED.values()]
    everything = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert OPENS not in everything
    assert CLIP not in everything
