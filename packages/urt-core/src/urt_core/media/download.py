"""Fetching media by address, for callers who switch it on: public addresses only, bounded in size and time.

A host name is resolved once, every address it has must be public, and the connection goes to the very address that was
checked; a second look-up can't lead elsewhere (DNS rebinding). Each redirect passes the same checks.
"""

import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

from urt_core.errors import MediaError

PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
CHUNK_BYTES = 64 * 1024
# Beside what Python calls not global, which differs between its versions: protocol assignments, relays, documentation,
# and prefixes that carry an IPv4 address inside (Teredo, 6to4). Of IPv6 only 2000::/3 is given to anybody.
SPECIAL_NETWORKS = tuple(
    map(
        ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
    )
)
GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")

Resolve = Callable[[str, int], list[str]]
Connect = Callable[[str, int, float], socket.socket]


def resolve_host(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect_address(address: str, port: int, timeout_s: float) -> socket.socket:
    return socket.create_connection((address, port), timeout=timeout_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloader:
    """Fetches the bytes behind an http(s) address: Downloader(max_bytes=32 * 2**20, deadline_s=20.0)("https://...")."""

    max_bytes: int = 32 * 2**20
    deadline_s: float = 20.0
    """For the whole fetch: look-ups, handshakes, heads and redirects included."""
    max_redirects: int = 3
    allowed_hosts: frozenset[str] | None = None
    """Only these host names, if given. Their addresses must be public all the same."""
    resolve: Resolve = field(default=resolve_host, repr=False)
    connect: Connect = field(default=connect_address, repr=False)

    def __call__(self, url: str) -> bytes:
        deadline = time.monotonic() + self.deadline_s
        for _ in range(self.max_redirects + 1):
            target = self.check_url(url)
            try:
                status, location, data = self._get(target, deadline)
                following = urljoin(url, location or "")
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise MediaError(f"{shown(url)}: not fetched ({type(error).__name__}: {str(error)[:120]})") from error
            if status in REDIRECTS and location:
                url = following
                continue
            if status != 200:
                raise MediaError(f"{shown(url)}: answered with HTTP {status}")
            return data
        raise MediaError(f"{shown(url)}: more than {self.max_redirects} redirects")

    def check_url(self, url: str) -> SplitResult:
        """What can be said without a look-up: scheme, port, host, and nothing hidden in the address."""
        if len(url) > 2048 or not url.isascii() or any(ord(char) <= 32 or char in "\\\x7f" for char in url):
            raise MediaError(
                f"{shown(url)}: an address is plain ASCII without spaces or backslashes, at most 2048 long"
            )
        try:
            target = urlsplit(url)
            port = target.port
        except ValueError as error:
            raise MediaError(f"{shown(url)}: not an address ({error})") from error
        if target.scheme not in PORTS:
            raise MediaError(f"{shown(url)}: scheme is {target.scheme!r}, allowed are http and https")
        if port not in (None, PORTS[target.scheme]):
            raise MediaError(f"{shown(url)}: port is {port}, allowed is the usual one of {target.scheme}")
        if "@" in target.netloc or not target.hostname:
            raise MediaError(f"{shown(url)}: an address has a host and no user name")
        if self.allowed_hosts is not None and target.hostname not in self.allowed_hosts:
            raise MediaError(f"{shown(url)}: host {target.hostname} is not among Downloader.allowed_hosts")
        return target

    def _get(self, target: SplitResult, deadline: float) -> tuple[int, str | None, bytes]:
        host, port = target.hostname or "", PORTS[target.scheme]
        address = self._public_address(host, port, deadline)
        watched = _Watched(self.connect(address, port, remaining(deadline)), deadline)
        try:
            if target.scheme == "https":
                watched.wrap(host)
            connection = http.client.HTTPConnection(host, port)
            connection.sock = watched.socket
            path = (target.path or "/") + (f"?{target.query}" if target.query else "")
            connection.request("GET", path, headers={"Accept": "image/*, video/*", "Accept-Encoding": "identity"})
            watched.socket.settimeout(remaining(deadline))
            response = connection.getresponse()
            if response.status != 200:
                return response.status, response.getheader("Location"), b""
            return response.status, None, self._read(response, watched.socket, deadline)
        finally:
            watched.close()
            remaining(deadline)

    def _read(self, response: http.client.HTTPResponse, raw: socket.socket, deadline: float) -> bytes:
        chunks, size = [], 0
        # read1 returns after one receive, so that a trickle can't outlive the deadline.
        while raw.settimeout(remaining(deadline)) or (chunk := response.read1(CHUNK_BYTES)):
            size += len(chunk)
            if size > self.max_bytes:
                raise MediaError(f"more than {self.max_bytes:,} bytes (Downloader.max_bytes)")
            chunks.append(chunk)
        data = b"".join(chunks)
        if response.length:
            raise http.client.IncompleteRead(data, response.length)
        return data

    def _public_address(self, host: str, port: int, deadline: float) -> str:
        """The first address of `host`, if all it has are public: one private among them is an attack, not bad luck."""
        addresses = within(deadline, self.resolve, host, port)
        if not addresses:
            raise MediaError(f"host {host} has no address")
        for address in addresses:
            if not is_public(address):
                raise MediaError(f"host {host} leads to {address}, which is not a public address")
        return addresses[0]


class _Watched:
    """A socket that is shut at the deadline, whatever waits on it.

    A timeout of a socket bounds one wait. A sender that gives a byte now and then, in the handshake, the status line or
    a header, never lets it pass.
    """

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self.socket = raw
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._shut)
        self._timer.daemon = True
        self._timer.start()

    def wrap(self, host: str) -> None:
        context = ssl.create_default_context()
        wrapped = context.wrap_socket(self.socket, server_hostname=host, do_handshake_on_connect=False)
        self.socket = wrapped
        wrapped.do_handshake()

    def _shut(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._timer.cancel()
        self.socket.close()


def within(deadline: float, resolve: Resolve, host: str, port: int) -> list[str]:
    """What `resolve` finds before the deadline. The system's own look-up can't be told how long it may take, nor be
    stopped."""
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(resolve(host, port))
        except Exception as error:  # noqa: BLE001  (carried to the thread that waits, and raised there)
            found.put(error)

    threading.Thread(target=look_up, name="urt-resolve", daemon=True).start()
    try:
        answer = found.get(timeout=remaining(deadline))
    except queue.Empty:
        raise TimeoutError(f"the address of {host} was not found in time (Downloader.deadline_s)") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def is_public(address: str) -> bool:
    """Globally routable unicast; an IPv4 address in IPv6 clothes is judged by what it is, or refused."""
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.version == 6 and parsed not in GLOBAL_IPV6:
        return False
    if any(parsed in network for network in SPECIAL_NETWORKS):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed (Downloader.deadline_s)")
    return seconds


def shown(url: str) -> str:
    """Without query, which often carries a signature."""
    return repr(url.split("?")[0][:120])
