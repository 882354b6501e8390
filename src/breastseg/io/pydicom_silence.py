"""pydicom tells of values that break the standard as they are used; a patient's name among them."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False


# The filters of warnings are those of all threads: two that set and reset them could leave
# them open, and a name would reach the terminal.
_filters = threading.RLock()


@contextmanager
def pydicom_silenced() -> Iterator[None]:
    """Pass over pydicom's warnings, also as a decorator: what a reader uses, it checks itself.

    Threads wait for each other.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
