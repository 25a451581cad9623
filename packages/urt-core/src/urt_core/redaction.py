"""What other programs say (their errors, headers, addresses) without the secrets in it: the one way out for such text.

A library's exception may repeat the header it could not send, a gateway the key it refuses, a proxy the address with
its password. `redacted` is applied where such text enters: details of completions, errors, logs, bodies of a server,
manifests.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

HIDDEN = "***"
# Names whose value is a secret wherever they stand: headers, JSON, query strings, environment variables.
_NAMES = (
    r"(?:proxy-)?authorization|(?:set-)?cookie|x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential|api-key)|"
    r"[\w-]{0,40}(?:api|access|secret|private|account|auth|subscription)[-_ ]?key(?:[-_]?id)?|[\w-]{0,40}(?:passw(?:or)?d|passwd|secret)|"
    r"(?:access|refresh|id|auth|session|bearer|api|security)[-_]?token|token|signature|sig|credential|(?<=[?&])key"
)
_SCHEME = r"(?:Bearer|Basic|Digest)(?:\s+|%20)"
_CREDENTIALS = r"[^\s'\",;<>\\]{4,}"
# What each finds in its group `value` is taken for a secret.
_PATTERNS = (
    # scheme://user:password@host and scheme://token@host
    re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://(?P<value>[^\s/@?#'\"]{1,4096})@", re.IGNORECASE),
    # Authorization: Bearer abc, wherever it stands
    re.compile(rf"\b{_SCHEME}(?P<value>{_CREDENTIALS})", re.IGNORECASE),
    # name: value, name=value, "name": "value", (b'name', b'value')
    re.compile(
        rf"(?<![A-Za-z0-9_])(?:{_NAMES})(?:\\?['\"])?\s*(?:[:=]|,(?=\s*b?\\?['\"])|\bis\b)\s*(?:b?\\?['\"])?"
        rf"(?!{_SCHEME}(?:{_CREDENTIALS}|{re.escape(HIDDEN)}))(?P<value>[^\s'\",;&<>{{}}\[\]\\]{{4,}})",
        re.IGNORECASE,
    ),
    # Shapes of keys that well-known services give out, and JSON web tokens
    re.compile(
        r"(?P<value>\b(?:sk|pk|rk|gsk|pplx|nvapi|r8|xai|key)[-_][A-Za-z0-9_-]{8,}|\b(?:gh[opsur]|github_pat|glpat|hf|xox[abeprs])[-_][A-Za-z0-9_-]{10,}|"
        r"\bA(?:KIA|SIA)[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?)"
    ),
)
Span = tuple[int, int]
_secrets: dict[str, tuple[str, ...]] = {}
_lock = threading.Lock()


def keep_secret(secret: str) -> None:
    """From here on no text that passes `redacted` in this process holds it: the key of an endpoint, the token of a
    server."""
    if len(secret) >= 4:  # a shorter one would be found in ordinary words
        with _lock:
            _secrets[secret] = spellings(secret)


def spellings(secret: str) -> tuple[str, ...]:
    """As it is, escaped as in JSON and in Python's repr, and quoted as in an address; the longest first."""
    found = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}
    return tuple(sorted(found, key=len, reverse=True))


def redacted(text: str) -> str:
    """`text` without kept secrets, and without what looks like one: values of secret names, bearer tokens, passwords in
    addresses, keys of well-known shapes.

    >>> redacted("Illegal header value b'Bearer sk-SECRET-123'; proxy http://me:pw@proxy:3128/")
    "Illegal header value b'Bearer ***'; proxy http://***@proxy:3128/"
    """
    return _without(lambda said: (*_kept(said), *_guessed(said)), text)


def without_kept_secrets(text: str) -> str:
    """For what a judge wrote: only the secrets themselves are replaced, its words are not guessed about."""
    return _without(_kept, text)


def _without(find: Callable[[str], Iterable[Span]], text: str) -> str:
    """`text` with `HIDDEN` for each piece that `find` finds, until it finds no more: what is left of two neighbours may
    be a secret itself. The pieces of a round are all looked for in the same text: a kept key that is an ordinary word,
    hidden in a name first, would take the name from its value."""
    while spans := sorted(span for span in find(text) if text[slice(*span)] != HIDDEN):
        kept, end = [], 0
        for start, stop in spans:
            if start > end or not kept:
                kept.append(text[end:start])
            end = max(end, stop)
        text = HIDDEN.join([*kept, text[end:]])
    return text


def _kept(text: str) -> Iterator[Span]:
    with _lock:
        known = [spelling for kept in _secrets.values() for spelling in kept]
    for spelling in known:
        start = text.find(spelling)
        while start >= 0:
            yield start, start + len(spelling)
            start = text.find(spelling, start + 1)  # a secret may begin within itself


def _guessed(text: str) -> Iterator[Span]:
    for pattern in _PATTERNS:
        yield from (found.span("value") for found in pattern.finditer(text))
