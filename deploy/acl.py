"""python -m deploy.acl FOLDER: one Redis user per service, made from the table of the mesh.

A user reads and writes the mailboxes and states of its own stages, delivers to the stages it has mail for, and does
nothing else: not inside scripts either, for Redis checks every key that a script touches. Writes `users.acl`, which
holds hashes, and `passwords.env`, which holds the passwords; neither is overwritten unless `--force` is given.
"""

import argparse
import hashlib
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from services import MESH, SERVICES
from shared.bus.mesh import EVERY_STEP_SENDS, Mesh
from shared.messages import Message

STAGES: Mapping[str, tuple[str, ...]] = {"tts": ("voice", "place"), "dashboard": ()}
"""Stages of a service, where they are not the one of its name."""

CONNECTION = "+hello +auth +ping +time +select +client|setname +client|getname"
SCRIPTS = "+evalsha +script|load"
STREAMS = "+xadd +xreadgroup +xgroup|create +xack +xdel +xrange +xrevrange +xlen +xtrim +xpending +xclaim"
HASHES = "+get +hget +hset +hsetnx +hmget +hgetall +hincrby +hdel +set +expire +persist +del"
DOCTOR = "+scan"
"""Shows names of keys but nothing in them."""

TAG = "{p*}"
MONITOR = "monitor"
OBSERVERS = {
    MONITOR: f"{CONNECTION} +info +xlen +dbsize +config|get +latency|latest +slowlog|len +client|list",
    "admin": "~* &* +@all",
}
"""Users who are no service: `monitor` for exporters and autoscalers, `admin` for people."""


def stages(service: str) -> tuple[str, ...]:
    """The stages in the folder of a service; none for the one that only looks."""
    return STAGES.get(service, (service,))


def receivers(mesh: Mesh, stage: str) -> set[str]:
    """The stages that this one has mail for."""
    kinds: tuple[type[Message], ...] = (*mesh.steps[stage].produces, *EVERY_STEP_SENDS)
    return {step.name for kind in kinds for step in mesh.receivers(stage, kind)}


def keys(mesh: Mesh, service: str) -> list[str]:
    """What a service may read and write, as key patterns."""
    own, found = stages(service), [f"~{TAG}", f"~{TAG}:mesh"]
    for stage in own:
        found += (f"~{TAG}:{kind}:{stage}" for kind in ("rdy", "live", "swp", "dlq", "offer"))
        found += (f"~{TAG}:{kind}:{stage}:*" for kind in ("mb", "st"))
        found += (f"~{TAG}:rdy:{stage}@*", f"%W~{TAG}:ev:*")
        for other in sorted(receivers(mesh, stage) - set(own)):
            found += (f"~{TAG}:mb:{other}:*", f"~{TAG}:st:{other}:*", f"~{TAG}:rdy:{other}", f"~{TAG}:rdy:{other}@*")
            found.append(f"%R~{TAG}:live:{other}")
        found += (f"%R~{TAG}:{kind}:*" for kind in ("g", "log", "want"))
    if service in ("asr", "speaker"):
        found.append(f"%R~{TAG}:pcm:*")
    return [*dict.fromkeys(found), *EXTRA.get(service, ())]


EXTRA: Mapping[str, tuple[str, ...]] = {
    "ingest": (f"~{TAG}:g:*", f"~{TAG}:streams", f"~{TAG}:url:*", f"%R~{TAG}:ev:*", f"%R~{TAG}:offer:*"),
    "downloader": (f"~{TAG}:g:*", f"~{TAG}:streams", f"~{TAG}:pcm:*"),
    "sender": (f"~{TAG}:log:*", f"%W~{TAG}:want:*"),
    "dashboard": (f"%R~{TAG}:g:*", f"~{TAG}:streams", f"%R~{TAG}:ev:*", f"~{TAG}:offer:dashboard"),
}
"""What services do beside their turns."""


def rules(mesh: Mesh, service: str) -> str:
    """The rules of a service's user. The part in brackets lets a turn prolong the life of what a stream left."""
    commands = f"{CONNECTION} {STREAMS} {HASHES} {SCRIPTS} {DOCTOR} +hkeys +xread"
    lasting = " ".join(f"%W~{TAG}:{kind}:*" for kind in ("pcm", "log", "ev", "want"))
    return f"{' '.join(keys(mesh, service))} {commands} (+expire {lasting})"


def users(passwords: Mapping[str, str]) -> str:
    """The lines of Redis's ACL file for these users; nobody else gets in. Needs Redis 7."""
    lines = ["user default off resetkeys resetchannels -@all"]
    for name, password in passwords.items():
        allowed = OBSERVERS[name] if name in OBSERVERS else rules(MESH, name)
        if name == MONITOR:
            allowed = " ".join([f"%R~{TAG}:rdy:{stage}" for stage in MESH.steps] + [allowed])
        lines.append(f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} resetchannels -@all {allowed}")
    return "\n".join(lines) + "\n"


def draw(names: Iterable[str] = (*SERVICES, *OBSERVERS)) -> dict[str, str]:
    """A new password for each user."""
    return {name: secrets.token_urlsafe(24) for name in names}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.acl", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--force", action="store_true", help="new passwords in place of those that are there")
    asked = parser.parse_args(arguments)
    acl, env = asked.folder / "users.acl", asked.folder / "passwords.env"
    if not asked.force and (acl.exists() or env.exists()):
        sys.stderr.write(f"{acl} or {env} exists; --force replaces both\n")
        return 1
    passwords = draw()
    asked.folder.mkdir(parents=True, exist_ok=True)
    env.touch(mode=0o600)
    env.write_text("".join(f"REDIS_PASSWORD_{name.upper()}={value}\n" for name, value in passwords.items()))
    acl.write_text(users(passwords))
    return 0


if __name__ == "__main__":
    sys.exit(main())
