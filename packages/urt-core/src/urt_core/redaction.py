"""What other programs say (their errors, headers, addresses) without the secrets in it: the one way out for such text.

A library's exception may repeat the header it could not send, a gateway the key it refuses, a proxy the address with
its password. `redacted` is applied where such text enters: details of completions, errors, logs, bodies of a server,
manifests.
"""

import json
import re
import threading
from urllib.parse import quote

HIDDEN = "***"
# Names whose value is a secret wherever they stand: headers, JSON, query strings, environment variables.
_NAMES = (
    r"(?:proxy-)?authorization|(?:set-)?cookie|x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential|api-key)|"
    r"[\w-]{0,40}(?:api|access|secret|private|account|auth|subscription)[-_ ]?key(?:[-_]?id)?|[\w-]{0,40}(?:passw(?:or)?d|passwd|secret)|"
    r"(?:access|refresh|id|auth|session|bearer|api|security)[-_]?token|token|signature|sig|credential|(?<=[?&])key"
)
_PATTERNS = (
    # scheme://user:password@host and scheme://token@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@?#'\"]{1,4096}@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    # Authorization: Bearer abc, wherever it stands
    (re.compile(r"\b(Bearer|Basic|Digest)(\s+|%20)[^\s'\",;<>\\]{4,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # name: value, name=value, "name": "value", (b'name', b'value')
    (
        re.compile(
            rf"(?<![A-Za-z0-9_])((?:{_NAMES})(?:\\?['\"])?\s*(?:[:=]|,(?=\s*b?\\?['\"])|\bis\b)\s*(?:b?\\?['\"])?)"
            rf"(?!(?:Bearer|Basic|Digest)\s+{re.escape(HIDDEN)})[^\s'\",;&<>{{}}\[\]\\]{{4,}}",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # Shapes of keys that well-known services give out, and JSON web tokens
    (
        re.compile(
            r"\b(?:sk|pk|rk|gsk|pplx|nvapi|r8|xai|key)[-_][A-Za-z0-9_-]{8,}|\b(?:gh[opsur]|github_pat|glpat|hf|xox[abeprs])[-_][A-Za-z0-9_-]{10,}|"
            r"\bA(?:KIA|SIA)[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"
        ),
        HIDDEN,
    ),
)
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
    text = without_kept_secrets(text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def without_kept_secrets(text: str) -> str:
    """For what a judge wrote: only the secrets themselves are replaced, its words are not guessed about."""
    with _lock:
        known = [spelling for kept in _secrets.values() for spelling in kept]
    for spelling in known:
        if spelling in text:
            text = text.replace(spelling, HIDDEN)
    return text
