"""One process at a time trains into a run folder."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from breastseg.core.errors import OutputError, RunFolderError
from breastseg.io.atomic import make_folder

LOCK_NAME = ".lock"

# What flock says where another holds the lock; any other error means that there are no locks.
_HELD = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def only_trainer(path: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which is made where it is missing.

    The operating system gives the lock back when its process ends in whatever way, so that the
    file of a killed process blocks nobody. The file stays: removing it would let two processes
    hold locks on different files of one name. Where there are no such locks (Windows, some
    network disks), nothing is checked.

    Source: flock(2) of Linux and macOS.

    Raises:
        RunFolderError: another process trains into the folder; the message has its id.
        OutputError: the folder cannot be written.
    """
    make_folder(path)
    try:
        file = (path / LOCK_NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path / LOCK_NAME}: cannot be written ({error.strerror}).") from None
    with file:
        if not _lock(file):
            raise RunFolderError(
                f"{path}: expected a run that nobody trains, but {_holder(file)} does. Wait, "
                "stop it, or choose another --output."
            )
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _lock(file: IO[str]) -> bool:
    """Take the lock; false where another has it."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
