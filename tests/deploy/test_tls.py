"""Redis behind TLS: the mesh meets there by `rediss://`, and nobody without the right certificates gets in."""

import datetime
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from redis.exceptions import RedisError

from loadtest.redis_server import RedisServer, free_port
from services import MESH
from shared.bus import Connection, Service
from shared.context import Record
from shared.messages import StreamStarted


@dataclass
class Authority:
    """A certificate authority that lives as long as a test."""

    folder: Path

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._signed("authority", self.key.public_key(), ca=True)
        (self.folder / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files with a certificate for 127.0.0.1 and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(self._signed(name, key.public_key(), ca=False).public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        return files

    def _signed(self, name: str, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        return builder.add_extension(addresses, critical=False).sign(self.key, hashes.SHA256())


@dataclass
class Guarded:
    """A Redis with a TLS port that asks for certificates."""

    port: int
    folder: Path

    def url(self, **options: str) -> str:
        """Its URL with these options of the client."""
        return f"rediss://127.0.0.1:{self.port}/0?" + "&".join(f"{name}={value}" for name, value in options.items())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls")
    authority, port = Authority(folder), free_port()
    certificate, key = authority.issue("redis")
    authority.issue("mesh")
    other = folder / "other"
    other.mkdir()
    Authority(other)
    tls = {"port": str(port), "cert-file": str(certificate), "key-file": str(key), "ca-cert-file": f"{folder}/ca.pem"}
    settings = [word for name, value in tls.items() for word in (f"--tls-{name}", value)]
    with RedisServer(*settings, "--tls-auth-clients", "yes"):
        yield Guarded(port, folder)


async def test_the_mesh_meets_over_tls_with_certificates_of_both_sides(guarded: Guarded) -> None:
    folder = str(guarded.folder)
    url = guarded.url(
        ssl_ca_certs=f"{folder}/ca.pem", ssl_certfile=f"{folder}/mesh.pem", ssl_keyfile=f"{folder}/mesh.key"
    )
    connection = Connection(url, MESH, [service := Service("ingest")])
    await connection.start()
    assert await connection.ready()
    assert await service.bus.post(Record(stream="s"), "", StreamStarted(stream="s", until=0))
    assert [event.stage for event in await service.bus.events("s")] == ["ingest"]
    await connection.stop()


@pytest.mark.parametrize(
    "options",
    [
        {"ssl_ca_certs": "{folder}/ca.pem"},
        {"ssl_certfile": "{folder}/mesh.pem", "ssl_keyfile": "{folder}/mesh.key"},
        {
            "ssl_ca_certs": "{folder}/other/ca.pem",
            "ssl_certfile": "{folder}/mesh.pem",
            "ssl_keyfile": "{folder}/mesh.key",
        },
    ],
    ids=["no certificate of its own", "no known authority", "another authority"],
)
async def test_neither_side_talks_to_one_that_it_cannot_verify(guarded: Guarded, options: dict[str, str]) -> None:
    filled = {name: value.format(folder=guarded.folder) for name, value in options.items()}
    async with Redis.from_url(guarded.url(**filled)) as redis:
        with pytest.raises((RedisError, OSError)):
            await redis.ping()
