"""`urt parse`"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from urt_core.cli.display import print_judgement
from urt_core.contracts import load_contract
from urt_core.errors import DataError
from urt_core.judgement import Judgement, parse_judgement
from urt_core.records import Task


def run_parse(options: argparse.Namespace) -> int:
    """Each file is one text. Exit code 3 if one of them can't be read."""
    task, dialect = Task(options.task), load_contract(options.dialect) if options.dialect else None
    unreadable = 0
    for name, text in texts(options.files):
        judgement = parse_judgement(text, task=task, dialect=dialect)
        unreadable += not isinstance(judgement, Judgement)
        if options.json:
            kind = {"file": name, "readable": isinstance(judgement, Judgement)}
            print(json.dumps(kind | asdict(judgement), ensure_ascii=False))
        else:
            print_judgement(judgement, task=task, title=name)
    return 3 if unreadable else 0


def texts(files: list[str]) -> list[tuple[str, str]]:
    if not files:
        return [("standard input", sys.stdin.read())]
    try:
        return [(name, Path(name).read_text(encoding="utf-8", errors="replace")) for name in files]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
