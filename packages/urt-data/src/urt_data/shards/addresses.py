"""Addresses of fsspec (`s3://bucket/pairs`, `hf://datasets/me/pairs`) where a folder may stand: never taken for a folder's name.

    with local_copy("s3://bucket/raw") as folder: ...          # a temporary copy; a folder of this machine is itself
    with upload_to("s3://bucket/pairs") as folder: ...         # written here, uploaded when all is well, the manifest last

Whatever a client of a remote raises (no credentials, no such bucket, a connection that breaks) is one `ShardError` with address and remedy.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from urt_core.atomic import DISK_ERRORS
from urt_core.errors import ConfigError, UrtError
from urt_data.errors import AddressError, ShardError
from urt_data.shards.index import MANIFEST_NAME

CRIPPLED = re.compile(r"[a-z][a-z0-9+.-]+:/")
PACKAGES = {"s3": "s3", "hf": "hf"}
"""Protocol -> the extra of urt-data that installs its client; others name theirs themselves."""


def is_address(folder: str | Path) -> bool:
    """Whether this is an address, and no folder of this machine."""
    if isinstance(folder, Path) and CRIPPLED.match(str(folder)):
        raise ConfigError(f"{folder} was an address before it became a Path, which drops a slash; give it as text")
    return "://" in str(folder)


def joined(folder: str | Path, name: str) -> str:
    return f"{str(folder).rstrip('/')}/{name}"


def connect(address: str) -> tuple[Any, str]:
    """The file system of an address and the path inside it. Keys and endpoints come from fsspec's own configuration."""
    try:
        import fsspec
    except ImportError as error:
        raise ConfigError(f"{address} needs fsspec: pip install 'urt-data[remote]'") from error
    protocol = address.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        extra = PACKAGES.get(protocol)
        remedy = f"pip install 'urt-data[{extra}]'" if extra else str(error)
        raise ConfigError(f"{address} needs a client for {protocol}://: {remedy}") from error
    except ValueError as error:
        raise ConfigError(f"{address}: {error}; addresses are those of fsspec, such as s3://bucket/folder") from error


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """The wall around clients of remotes: their errors have no common kind."""
    try:
        yield
    except UrtError:
        raise
    except FileNotFoundError as error:
        raise ShardError(f"{address} does not exist ({error}); check the address, or upload it again") from error
    except Exception as error:  # botocore, aiohttp and the hub's client each have a tree of their own
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise AddressError(
                f"{address}: the disk of this machine does not take it ({reason}); make room in the cache folder or in {tempfile.gettempdir()}, "
                "or set TMPDIR"
            ) from error
        raise AddressError(
            f"{address} cannot be reached ({type(error).__name__}: {reason}); check address, credentials and network, "
            "and run the command again"
        ) from error


@contextmanager
def local_copy(folder: str | Path) -> Iterator[Path]:
    """`folder` itself, or a copy of what lies at an address for as long as the block runs."""
    if not is_address(folder):
        yield Path(folder)
        return
    address = str(folder)
    filesystem, root = connect(address)
    with tempfile.TemporaryDirectory(prefix="urt-data-") as scratch:
        target = Path(scratch, "copy")
        with reaching(address):
            is_file = filesystem.isfile(root)
            # The media of a table lie beside it.
            source = root.rpartition("/")[0] if is_file else root
            names = filesystem.find(source)
            if not names:
                raise ShardError(f"{address} holds no files; check the address")
            for name in names:
                path = target / name.removeprefix(source).lstrip("/")
                if target not in path.resolve().parents:
                    raise ShardError(f"{address} holds {name!r}, which leaves the folder")
                path.parent.mkdir(parents=True, exist_ok=True)
                filesystem.get_file(name, str(path))
        yield target / root.rpartition("/")[2] if is_file else target


@contextmanager
def upload_to(folder: str | Path) -> Iterator[Path]:
    """`folder` itself, or a temporary one whose files are uploaded to an address when the block ends without an error."""
    if not is_address(folder):
        yield Path(folder)
        return
    scratch = start_upload(str(folder), overwrite=True)
    try:
        yield scratch
        finish_upload(scratch, str(folder))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def start_upload(address: str, *, overwrite: bool) -> Path:
    """A folder to write to; the address is tried now, not after hours of work."""
    filesystem, root = connect(address)
    with reaching(address):
        if filesystem.exists(joined(root, MANIFEST_NAME)) and not overwrite:
            raise ShardError(
                f"{address} already holds a finished data set; choose another address or pass overwrite=True"
            )
    return Path(tempfile.mkdtemp(prefix="urt-data-"))


def finish_upload(folder: Path, address: str, *, replace: bool = False) -> None:
    """Upload every file of `folder`; without its manifest, which comes last, a data set is not read.

    With `replace`, shards that are there and not in `folder` are removed: those of an earlier, longer run.
    """
    filesystem, root = connect(address)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    with reaching(address):
        # Until the new one is there, readers find no data set rather than half of two.
        if MANIFEST_NAME in names and filesystem.exists(joined(root, MANIFEST_NAME)):
            filesystem.rm_file(joined(root, MANIFEST_NAME))
        filesystem.makedirs(root, exist_ok=True)
        for name, path in sorted(zip(names, files, strict=True), key=lambda item: (item[0] == MANIFEST_NAME, item[0])):
            filesystem.makedirs(joined(root, name).rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(path), joined(root, name))
        for old in filesystem.find(root) if replace else ():
            name = old.rpartition("/")[2]
            if name.startswith("shard-") and name not in names:
                filesystem.rm_file(old)
