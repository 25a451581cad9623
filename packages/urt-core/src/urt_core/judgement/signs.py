"""One spelling for signs that models write in several ways."""

_FULL_WIDTH = {0xFF01 + offset: 0x21 + offset for offset in range(94) if chr(0x21 + offset) not in "<>"}
# Angle brackets stay as they are: only ASCII brackets make a tag.
_TYPOGRAPHIC = {
    "\u3000": " ", "\u00a0": " ", "\u202f": " ",  # wide, no-break and narrow spaces
    "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-", "\u2212": "-",
    "\u2022": "*", "\u25e6": "*", "\u00b7": "*",  # bullets
    "\u3010": "[", "\u3011": "]", "\u300c": "[", "\u300d": "]",
    "\u3001": ",", "\u3002": ".", "\u2044": "/", "\u2215": "/", "\u2795": "+",
}  # fmt: skip
_SIGNS = _FULL_WIDTH | {ord(sign): plain for sign, plain in _TYPOGRAPHIC.items()}


def plain_signs(text: str) -> str:
    """`text` with full-width and typographic signs as ASCII and `\\n` as the only line end."""
    if not text.isascii():
        text = text.translate(_SIGNS)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text
