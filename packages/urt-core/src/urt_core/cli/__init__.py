"""The `urt` command: compare, score, rank, serve, doctor, judges, parse, bench.

A process exit code says how it went: 0 done, 1 an error, 2 wrong usage, 3 too many failures, 130 interrupted.
"""

import errno
import sys
from collections.abc import Sequence

from urt_core.atomic import DISK_ERRORS
from urt_core.cli.arguments import build_parser
from urt_core.errors import UrtError
from urt_core.process.pipes import reader_may_leave
from urt_core.process.waiting import settle_waiting
from urt_core.redaction import redacted

ERROR, TOO_MANY_FAILURES, INTERRUPTED = 1, 3, 130
PATH_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
"""What a file system says of a path that is none."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except UrtError as error:
        print(f"urt: {redacted(str(error))}", file=sys.stderr)
        return ERROR
    except OSError as error:
        if error.errno not in (*DISK_ERRORS, *PATH_ERRORS):
            raise
        remedy = (
            "make room and rights, then the same command goes on" if error.errno in DISK_ERRORS else "name another path"
        )
        print(f"urt: {error.filename or 'a file of the output'}: {error.strerror}; {remedy}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        print("urt: interrupted; the same command continues where it stopped", file=sys.stderr)
        return INTERRUPTED


def console_main() -> None:
    settle_waiting()
    with reader_may_leave():
        sys.exit(main())
