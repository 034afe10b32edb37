"""Posting to an address that an operator named, and nowhere else (server-side request forgery).

The name is resolved here, every address that it has is checked, and the connection goes to one of
those: a name that resolves to something else a moment later (DNS rebinding) leads nowhere. `Host`,
SNI and the certificate are those of the name. No redirect is followed, no proxy used, and of the
answer nothing but status and headers is read.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

import httpx

from goldenpath.errors import AddressRefusedError, OutgoingError

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a name and port. Raises OSError."""
SECONDS = 15.0
"""For one post, with everything that belongs to it."""
_CONNECT_SECONDS = 5.0
_MOST_TOLD = 300
_ADDRESSES = 3
"""Of a name with many, so many are tried."""
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_AS_IF_PUBLIC = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"))
"""Metadata services of clouds whose addresses count as public."""


class Answer(NamedTuple):
    """What is read of an answer."""

    status: int
    retry_after: str | None


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def is_public(address: str) -> bool:
    """False for what only a machine inside of a network should reach, however it is written."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        inner = _embedded(found)
        if inner is None:
            return found in _GLOBAL_UNICAST and found.is_global
        found = inner
    return found.is_global and not (
        found.is_multicast or found.is_reserved or any(found in net for net in _AS_IF_PUBLIC)
    )


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which a gateway or the kernel would take it."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


class Outgoing:
    """Posts to one address."""

    def __init__(
        self,
        url: str,
        *,
        allow_private: bool,
        resolve: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._url = httpx.URL(url)
        self._host = self._url.raw_host.decode("ascii")
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self._allow_private = allow_private
        self._resolve = resolve
        self._trust = trust or httpx.create_ssl_context()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post, and give what was answered. Raises `OutgoingError`, `AddressRefusedError`."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(await self._addresses(), body, headers)
        except TimeoutError:
            raise OutgoingError(f"{self._host} did not answer within {SECONDS:g} s") from None
        except (httpx.HTTPError, OSError, ssl.SSLError) as error:
            told = f"{self._host}: {type(error).__name__} {error}"
            raise OutgoingError(told[:_MOST_TOLD]) from error

    async def _addresses(self) -> list[str]:
        found = await self._resolve(self._host, self._port)
        for address in found:
            if not self._allow_private and not is_public(address):
                raise AddressRefusedError(
                    f"{self._host} has the private address {address}; give a public one, or "
                    "--webhook-allow-private yes"
                )
        if not found:
            raise OutgoingError(f"{self._host} has no address")
        return found[:_ADDRESSES]

    async def _post(self, addresses: list[str], body: bytes, headers: Mapping[str, str]) -> Answer:
        async with httpx.AsyncClient(
            verify=self._trust,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(SECONDS, connect=_CONNECT_SECONDS),
        ) as client:
            *others, last = addresses
            for address in others:
                try:
                    return await self._send(client, address, body, headers)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    continue  # nothing was sent
            return await self._send(client, last, body, headers)

    async def _send(
        self, client: httpx.AsyncClient, address: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        async with client.stream(
            "POST",
            self._url.copy_with(host=address),
            content=body,
            headers={
                "host": self._url.netloc.decode("ascii"),
                "user-agent": "goldenpath",
                **headers,
            },
            extensions={"sni_hostname": self._host},
        ) as answer:
            return Answer(answer.status_code, answer.headers.get("retry-after"))
