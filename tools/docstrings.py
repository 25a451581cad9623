"""An extension of griffe, which reads docstrings for the documentation site: doctests in them are shown as code."""

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts fences round every doctest, which Markdown would take for a quotation."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    return DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", docstring)
