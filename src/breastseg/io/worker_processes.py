"""Starting worker processes that spare the user's script, Ctrl-C and the machine."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import connection

# Spawned, not forked: a fork copies the locks of PyTorch's and TensorFlow's threads as held.
CONTEXT = multiprocessing.get_context("spawn")

# One thread for each worker; read when NumPy is imported, that is, before begin_worker.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def num_cpus() -> int:
    """Count the processors that this process may use, which a container may restrict."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def sheltered_start() -> Iterator[None]:
    """Start processes that Ctrl-C leaves to the parent, and that don't run the user's script.

    A spawned process inherits the blocked signals and the environment. It would run the main
    script again, which a script without `if __name__ == "__main__"` does not survive and which
    may import PyTorch; a worker needs nothing of it.
    """
    main = sys.modules["__main__"]
    environment = {name: os.environ.get(name) for name in _ONE_THREAD}
    blocks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in environment.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker() -> None:
    """Prepare a worker process: Ctrl-C is the parent's, and the parent's end is its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """Wait for the parent's end, which also SIGKILL brings about, and follow it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
