"""One address over HTTP: where it is, how to get there, and requests to it. No request goes anywhere else.

Redirects are answers like any other and not followed, so that prompts, pictures and keys stay with the host they are
for. Proxies of the environment are used, except towards this machine. Nothing is read beyond `MAX_ANSWER_BYTES`,
counted after decompression.
"""

import asyncio
import concurrent.futures
import json
import os
import ssl
import urllib.request
from collections.abc import Coroutine, Mapping, MutableMapping
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from urt_core import __version__
from urt_core.errors import ConfigError, EngineError
from urt_core.redaction import keep_secret, redacted

MAX_ANSWER_BYTES = 32 << 20
"""A judgement has a few kilobytes; 32 of 32,768 tokens with log-probs are about so much."""
PATH = "/chat/completions"


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    content: bytes


class NoConnection(EngineError):
    """No answer came, or not all of it. The message holds what the library said, without secrets."""


class Connections(Protocol):
    """Connections of one event loop to one address."""

    async def post(self, body: bytes) -> Reply: ...

    def close(self) -> Coroutine[Any, Any, None]: ...


def checked_key(key: str | None, *, name: str) -> str:
    """A key that can stand in a header. White space around it comes from files and shells, and is not part of it."""
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"the key in {name} holds white space, control or non-ASCII characters, so it can't be sent; copy it again"
        )
    keep_secret(key)
    return key


def read_key(variable: str) -> str:
    """The key in this environment variable; empty where there is none, so that no other key is sent in its place."""
    return checked_key(os.environ.get(variable), name=f"the environment variable {variable}")


def checked_url(base_url: str) -> str:
    """Where chat completions of this `base_url` are; a query such as Azure's `?api-version=...` stays behind the
    path."""
    base_url = base_url.strip() if isinstance(base_url, str) else ""
    parts = urlsplit(base_url)
    try:
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigError(f"base_url is {redacted(base_url)!r}; it must be like http://localhost:8000/v1")
    if "@" in parts.netloc:
        raise ConfigError(
            f"base_url {redacted(base_url)!r} holds credentials, which would stand in results and logs; give a key instead "
            "(api_key, --api-key-env)"
        )
    return parts._replace(path=parts.path.rstrip("/") + PATH, fragment="").geturl()


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) names for an address; none to this
    machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not proxy.startswith(("http://", "https://")):
        raise ConfigError(
            f"the environment names the proxy {redacted(proxy)} for {parts.scheme} addresses; only http and https proxies are spoken "
            "here. Give OpenAIEngine(client=openai.AsyncOpenAI(...)) with a transport that knows it, or set NO_PROXY"
        )
    return proxy


@cache
def tls() -> ssl.SSLContext:
    """Reading the certificates of the machine takes 20 ms, so it is done once."""
    return ssl.create_default_context()


class HTTPConnections:
    """aiohttp's: a seventh of the CPU a request of OpenAI's own client."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        size: int,
        proxy: str | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        # Quoted as it was given: the address is the user's.
        self.url, self.proxy, self.max_bytes = URL(url, encoded=True), proxy, max_bytes
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=size, ssl=tls() if self.url.scheme == "https" else True),
            headers={"Content-Type": "application/json", "User-Agent": f"urt/{__version__}", **headers},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            proxy=proxy,
        )

    async def post(self, body: bytes) -> Reply:
        return await self.request("POST", body)

    async def request(self, method: str, body: bytes | None = None) -> Reply:
        """One answer, whatever its status; `NoConnection` where there is none."""
        data = None if body is None else Body(body)
        try:
            async with self._session.request(method, self.url, data=data, allow_redirects=False) as response:
                return Reply(response.status, response.headers, await self._content(response))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            through = f" through the proxy {redacted(self.proxy)}" if self.proxy else ""
            cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            said = redacted(str(cause) or "the connection was closed")
            raise NoConnection(f"no connection{through}, {type(cause).__name__}: {said}"[:300]) from None

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        left = self.max_bytes
        # What the header says it is, before compression, is known before anything is read.
        while left >= 0 and (response.content_length or 0) <= self.max_bytes:
            piece = await response.content.readany()
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            left -= len(piece)
        raise NoConnection(f"the answer is longer than {self.max_bytes:,} bytes, and was not read to its end")

    async def close(self) -> None:
        await self._session.close()


class Body(aiohttp.Payload):
    """Bytes sent as they are. aiohttp's own warns of more than a megabyte; pictures are that, and a socket takes them
    in pieces."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/json")

    @property
    def size(self) -> int:
        return len(self._value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: Any) -> None:
        await writer.write(self._value)


class ClientConnections:
    """Through a client of the caller's own, for what only that can do: sign in with Microsoft Entra or AWS, SOCKS,
    HTTP/2.

    The client signs and sends. Whether to try again, where a redirect may lead and what an answer says are urt's
    business, as with its own connections.
    """

    def __init__(self, client: Any) -> None:
        import openai

        self.client, self.openai = client.with_options(max_retries=0), openai

    async def post(self, body: bytes) -> Reply:
        # openai's name for: the answer as it comes, piece by piece.
        as_it_comes = {"follow_redirects": False, "headers": {"X-Stainless-Raw-Response": "stream"}}
        try:
            sent = json.loads(body)
            answer = await self.client.post(PATH, body=sent, cast_to=object, stream=False, options=as_it_comes)
            try:
                return Reply(answer.status_code, answer.headers, await self._content(answer))
            finally:
                await answer.close()
        except self.openai.APIStatusError as error:
            return Reply(error.status_code, error.response.headers, error.response.content)
        except self.openai.APITimeoutError:
            raise TimeoutError from None
        except NoConnection:
            raise
        except Exception as error:  # noqa: BLE001 (signing in and transports of the caller's own raise what they like)
            cause = error.__cause__ or error
            raise NoConnection(redacted(f"no connection, {type(cause).__name__}: {cause}")[:300]) from None

    async def _content(self, answer: Any) -> bytes:
        pieces: list[bytes] = []
        left = MAX_ANSWER_BYTES
        async for piece in answer.iter_bytes():
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise NoConnection(f"the answer is longer than {MAX_ANSWER_BYTES:,} bytes, and was not read to its end")
        return b"".join(pieces)

    async def close(self) -> None:
        """The client is the caller's."""


def abandon(connections: MutableMapping[asyncio.AbstractEventLoop, Any]) -> None:
    """Closes what an engine left open that was never closed itself, whichever thread it is collected in."""
    for loop, left in list(connections.items()):
        closing = left.close()
        if loop.is_running():
            done = asyncio.run_coroutine_threadsafe(closing, loop)
            if asyncio._get_running_loop() is not loop:
                with suppress(concurrent.futures.TimeoutError):
                    done.result(timeout=1.0)
        else:
            # The sockets ended with their loop; what is left to do waits for nothing.
            with suppress(StopIteration):
                closing.send(None)
            closing.close()
    connections.clear()
