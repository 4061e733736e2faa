"""A redis-server of our own: it can be killed and can lose the last bytes of its log, as in a power cut."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PORTS = range(15_000, 32_000)
"""Below those that the system gives to outgoing connections, which could take one before its server has started."""


def free_port() -> int:
    """A port on loopback that nobody listens on. Raises RuntimeError where there is none."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free on loopback")


class RedisServer:
    """Starts at once; `with` stops it and removes its folder. Raises RuntimeError where it cannot start."""

    def __init__(self, *settings: str) -> None:
        if shutil.which("redis-server") is None:
            raise RuntimeError("redis-server is missing: apt-get install redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = Path(tempfile.mkdtemp(prefix="dragoman-redis-"))
        self.settings = settings
        self.start()

    def start(self) -> None:
        """Start, or start again after a kill, with what the log holds."""
        fixed = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --dir {self.folder}".split()
        command = ["redis-server", *fixed, "--save", "", *self.settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("redis-server did not start")

    def kill(self, lose: int = 0) -> None:
        """SIGKILL; the last `lose` bytes of the append-only file are gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if lose:
            log = max(self.folder.glob("appendonlydir/*.incr.aof"), key=os.path.getmtime)
            os.truncate(log, max(0, log.stat().st_size - lose))

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
