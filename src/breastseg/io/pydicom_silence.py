"""pydicom tells of values that break the standard as they are used; a patient's name among them."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False


@contextmanager
def pydicom_silenced() -> Iterator[None]:
    """Pass over pydicom's warnings, also as a decorator: what a reader uses, it checks itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
