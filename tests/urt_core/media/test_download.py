"""Downloads: no address leads a judge into a private network, however it is written or redirected."""

import socket
import threading
import time
from typing import Any

import pytest

from urt_core.errors import MediaError
from urt_core.media import as_media
from urt_core.media.download import Downloader, is_public
from urt_core.records import MediaKind

PUBLIC = "93.184.216.34"


class Network:
    """Stands in for DNS and TCP: records every connection, and serves scripted answers."""

    def __init__(self, answers=(), names=None):
        self.answers = list(answers)
        self.names: dict[str, Any] = names or {}
        self.connected = []

    def resolve(self, host, port) -> list[str]:
        found = self.names.get(host, host)
        if isinstance(found, list):
            return list(map(str, found))
        if not isinstance(found, str):
            return found()
        # The resolver of the C library reads decimal, octal, hexadecimal and short forms of an address.
        return sorted({str(info[4][0]) for info in socket.getaddrinfo(found, port, flags=socket.AI_NUMERICHOST)})

    def connect(self, address, port, timeout_s):
        self.connected.append((address, port))
        ours, theirs = socket.socketpair()
        answer = self.answers.pop(0)

        def serve():
            theirs.recv(65536)
            theirs.sendall(answer)
            theirs.close()

        threading.Thread(target=serve, daemon=True).start()
        ours.settimeout(timeout_s)
        return ours


def ok(body, extra=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), extra) + body


def redirect(location, status=302):
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def fetch(url, network, **changes):
    return Downloader(resolve=network.resolve, connect=network.connect, **changes)(url)


FORBIDDEN = [
    # loopback, in every spelling that resolvers understand
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.255.255.254/",
    "http://localhost/",
    "http://0/",
    "http://0.0.0.0/",
    # private and special networks
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://2852039166/",
    # IPv6
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:7f00:1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:1::1]/",
    "http://[ff02::1]/",
    # names that resolve to them
    "http://internal.example/",
    "http://mixed.example/",
    "http://metadata.google.internal/",
    # what hides the host or leaves HTTP
    "http://example.com@127.0.0.1/",
    "http://user:password@example.com/",
    "http://example.com:22/",
    "http://example.com:8080/",
    "https://example.com:80/",
    "http://example.com:99999/",
    "http://example.com\\@127.0.0.1/",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: internal",
    "http://ex\u0430mple.com/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "file:///etc/passwd",
    "ftp://example.com/a.png",
    "gopher://127.0.0.1/",
    "dict://127.0.0.1:11211/",
    "http:///a.png",
    "http://",
    "//example.com/a.png",
    "http://[::1",
    "http://" + "a" * 3000,
]
NAMES = {
    "localhost": ["127.0.0.1"],
    "example.com": [PUBLIC],
    "internal.example": ["10.1.2.3"],
    "mixed.example": [PUBLIC, "192.168.0.7"],
    "metadata.google.internal": ["169.254.169.254"],
    "attacker.example": [PUBLIC],
}


@pytest.mark.parametrize("url", FORBIDDEN)
def test_forbidden_addresses_are_never_connected_to(url):
    network = Network(names=NAMES)
    with pytest.raises(MediaError):
        fetch(url, network)
    assert network.connected == []


# Those that a header can hold and that are not an ordinary address once joined to the one before.
RELATIVE = ("//example.com/a.png", "http:///a.png", "http://")
AS_REDIRECT = [url for url in FORBIDDEN if url.isascii() and min(url) >= " " and url not in RELATIVE]


@pytest.mark.parametrize("url", AS_REDIRECT)
def test_nor_by_way_of_a_redirect(url):
    network = Network([redirect(url)], names=NAMES)
    with pytest.raises(MediaError):
        fetch("http://attacker.example/", network)
    assert network.connected == [(PUBLIC, 80)]


def test_a_second_look_up_cannot_lead_elsewhere():
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    network = Network([ok(b"data")], names={"rebind.example": lambda: next(answers)})
    assert fetch("http://rebind.example/", network) == b"data"
    assert network.connected == [(PUBLIC, 80)]
    # The next fetch looks again, and is refused.
    with pytest.raises(MediaError, match="not a public address"):
        fetch("http://rebind.example/", network)


def test_public_addresses_and_relative_redirects_work():
    network = Network([redirect("/b.png"), redirect("http://example.com/c.png", 307), ok(b"pixels")], names=NAMES)
    assert fetch("http://attacker.example/a.png", network) == b"pixels"
    assert network.connected == [(PUBLIC, 80)] * 3


def test_redirects_end():
    network = Network([redirect("/again")] * 10, names=NAMES)
    with pytest.raises(MediaError, match="more than 3 redirects"):
        fetch("http://example.com/", network)
    assert len(network.connected) == 4


def test_sizes_are_bounded_whatever_the_header_says():
    for answer in (ok(b"x" * 2000), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000):
        with pytest.raises(MediaError, match="more than 1,000 bytes"):
            fetch("http://example.com/", Network([answer], names=NAMES), max_bytes=1000)


def test_cut_off_answers_are_errors():
    cut = ok(b"x" * 2000)[:-500]
    with pytest.raises(MediaError, match="IncompleteRead"):
        fetch("http://example.com/", Network([cut], names=NAMES))


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 404 No\r\n\r\n", b"HTTP/1.1 302 No\r\n\r\n"]
)
def test_other_answers_are_errors(answer):
    with pytest.raises(MediaError):
        fetch("http://example.com/", Network([answer], names=NAMES))


def test_a_trickle_does_not_outlive_the_deadline():
    class Trickle(Network):
        def connect(self, address, port, timeout_s):
            ours, theirs = socket.socketpair()
            stop = self.stop = threading.Event()

            def serve():
                theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        theirs.sendall(b"x")
                    except OSError:
                        break
                theirs.close()

            self.thread = threading.Thread(target=serve)
            self.thread.start()
            ours.settimeout(timeout_s)
            return ours

    network = Trickle(names=NAMES)
    with pytest.raises(MediaError, match="TimeoutError"):
        fetch("http://example.com/", network, deadline_s=0.4)
    network.stop.set()
    network.thread.join()


def test_a_host_list_narrows_further():
    hosts = frozenset({"example.com"})
    assert fetch("http://example.com/", Network([ok(b"a")], names=NAMES), allowed_hosts=hosts) == b"a"
    with pytest.raises(MediaError, match="allowed_hosts"):
        fetch("http://attacker.example/", Network(names=NAMES), allowed_hosts=hosts)


def test_as_media_downloads_only_when_told_to():
    network = Network([ok(b"GIF89a")], names=NAMES)
    download = Downloader(resolve=network.resolve, connect=network.connect)
    assert as_media("http://example.com/a.gif", kind=MediaKind.IMAGE, download=download).data == (b"GIF89a",)


def test_public_addresses():
    assert all(map(is_public, [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"]))
    assert not any(map(is_public, ["example.com", "", "127.0.0.1%eth0", "fe80::1%eth0", "1.2.3"]))


HEAD = b"HTTP/1.1 200 OK\r\n"
TRICKLES = {
    "status line": (b"", b"HTTP/1.1 200 OK" * 9),
    "one header": (HEAD + b"X-Long: ", b"a" * 500),
    "headers": (HEAD, b"A: b\r\n" * 200),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
    "body": (HEAD + b"Content-Length: 1000\r\n\r\n", b"b" * 500),
    "endless body": (HEAD + b"\r\n", b"b" * 500),
    "chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 500),
    "trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n", b"T: x\r\n" * 200),
    "silence": (b"", b""),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", TRICKLES)
def test_a_trickle_of_any_kind_ends_at_the_deadline(name: str, scheme: str) -> None:
    """One byte each 20 ms, for longer than the deadline of half a second. Over https it trickles inside the
    handshake."""
    at_once, slowly = TRICKLES[name]
    over = threading.Event()

    def connect(address: str, port: int, timeout_s: float) -> socket.socket:
        ours, theirs = socket.socketpair()

        def serve() -> None:
            with theirs:
                theirs.recv(65536)
                try:
                    theirs.sendall(at_once)
                    for letter in slowly:
                        if over.wait(0.02):
                            return
                        theirs.sendall(bytes([letter]))
                    over.wait(10)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        ours.settimeout(timeout_s)
        return ours

    started = time.monotonic()
    with pytest.raises(MediaError):
        Downloader(resolve=lambda host, port: [PUBLIC], connect=connect, deadline_s=0.5)(
            f"{scheme}://example.com/a.png"
        )
    over.set()
    assert time.monotonic() - started < 1.5


def test_a_slow_look_up_ends_at_the_deadline() -> None:
    def resolve(host: str, port: int) -> list[str]:
        time.sleep(3)
        return [PUBLIC]

    started = time.monotonic()
    with pytest.raises(MediaError, match="not found in time"):
        Downloader(resolve=resolve, deadline_s=0.3)("http://example.com/a.png")
    assert time.monotonic() - started < 1.3
