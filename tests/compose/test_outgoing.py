"""A post goes to the address that was named and checked, and nowhere else."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from goldenpath.compose import outgoing
from goldenpath.compose.outgoing import Answer, Outgoing, Resolve, is_public
from goldenpath.errors import AddressRefusedError, OutgoingError
from tests.compose.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254",
    "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1", "2001::1", "4000::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def resolver(*addresses: str, asked: list[str] | None = None) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        if asked is not None:
            asked.append(host)
        return list(addresses)

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
def test_what_only_the_inside_should_reach_is_private(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_everybody_reaches_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"]
)
async def test_a_private_address_is_refused_however_it_is_written(
    receiver: Receiver, host: str
) -> None:
    post = Outgoing(f"http://{host}:{receiver.port}/", allow_private=False).post
    with pytest.raises(OutgoingError) as caught:
        await post(b"{}", {})
    # Some of these are names that this system's resolver does not take for addresses.
    assert isinstance(caught.value, AddressRefusedError) or "gaierror" in str(caught.value)
    assert receiver.got == []


async def test_one_private_address_among_public_ones_refuses_the_name(receiver: Receiver) -> None:
    for addresses in (["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"], ["1.1.1.1", "fd00::1"]):
        post = Outgoing(
            f"http://hooks.example:{receiver.port}/",
            allow_private=False,
            resolve=resolver(*addresses),
        ).post
        with pytest.raises(AddressRefusedError, match="webhook-allow-private"):
            await post(b"{}", {})
    assert receiver.got == []


async def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """One look-up for each post: another answer a moment later (rebinding) is not asked for."""
    asked: list[str] = []
    post = Outgoing(
        f"http://hooks.example:{receiver.port}/hook?key=1",
        allow_private=True,
        resolve=resolver("127.0.0.1", asked=asked),
    ).post
    assert await post(b'{"a":1}', {"webhook-id": "x"}) == Answer(204, None)
    assert asked == ["hooks.example"]
    (got,) = receiver.got
    assert (got.path, got.body) == ("/hook?key=1", b'{"a":1}')
    assert got.headers["host"] == f"hooks.example:{receiver.port}"
    assert got.headers["webhook-id"] == "x"


async def test_no_redirect_is_followed(receiver: Receiver) -> None:
    for status in (301, 302, 303, 307, 308):
        receiver.answer((status, {"location": receiver.url}))
        post = Outgoing(receiver.url, allow_private=True).post
        assert (await post(b"{}", {})).status == status
    assert len(receiver.got) == 5


async def test_no_proxy_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await Outgoing(receiver.url, allow_private=True).post(b"{}", {})).status == 204


async def test_an_address_that_takes_no_connection_gives_way_to_the_next(
    receiver: Receiver,
) -> None:
    post = Outgoing(
        f"http://hooks.example:{receiver.port}/",
        allow_private=True,
        resolve=resolver("127.0.0.2", "127.0.0.1"),
    ).post
    assert (await post(b"{}", {})).status == 204


async def test_an_endless_answer_is_not_read(receiver: Receiver) -> None:
    receiver.body = b"x" * 65536
    assert (await Outgoing(receiver.url, allow_private=True).post(b"{}", {})).status == 204


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(OutgoingError, match="127.0.0.1"):
            await Outgoing(f"http://127.0.0.1:{port}/", allow_private=True).post(b"{}", {})


async def test_a_name_that_is_none_is_said(receiver: Receiver) -> None:
    for resolve in (resolver(), outgoing.resolve):
        post = Outgoing("https://no.such.invalid/", allow_private=False, resolve=resolve).post
        with pytest.raises(OutgoingError, match=r"no\.such\.invalid"):
            await post(b"{}", {})


def certificate(path: Path, name: str) -> Path:
    """A self-signed certificate of a name, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_the_certificate_is_of_the_name_though_the_address_is_pinned(tmp_path: Path) -> None:
    pem = certificate(tmp_path / "hooks.pem", "hooks.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(pem)
    names: list[str | None] = []
    served.sni_callback = lambda _, name, __: names.append(name)
    trust = ssl.create_default_context(cafile=str(pem))
    with receiving(served) as receiver:

        def to(host: str, trusted: ssl.SSLContext | None) -> Outgoing:
            return Outgoing(
                f"https://{host}:{receiver.port}/",
                allow_private=True,
                resolve=resolver("127.0.0.1"),
                trust=trusted,
            )

        assert (await to("hooks.example", trust).post(b"{}", {})).status == 204
        assert names == ["hooks.example"]
        with pytest.raises(OutgoingError, match="CERTIFICATE_VERIFY_FAILED"):
            await to("other.example", trust).post(b"{}", {})
        with pytest.raises(OutgoingError, match="CERTIFICATE_VERIFY_FAILED"):
            await to("hooks.example", None).post(b"{}", {})
        assert len(receiver.got) == 1
