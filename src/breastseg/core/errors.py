"""Every error that a user can cause or mend.

BreastsegError                exit code 2
|-- InputError                a file, folder, array or option the user gave is wrong
|   |-- ImageFileError        an image file cannot be read as an image
|   |   `-- ScanError         DICOM or NIfTI is refused, with a code: core/scan_faults.py
|   |-- LayoutError           a folder is no data set that breastseg knows, or a broken one
|   |-- ReferenceMaskError    a reader's mask is missing, grey or of another kind
|   |-- GeometryError         shapes or spacings disagree
|   |-- RecipeError           a recipe field is unknown or out of range
|   |-- SearchSpaceError      what a search shall vary is unknown, endless or no recipe
|   |-- SearchFolderError     a search folder belongs to another search, or its study is damaged
|   |-- SplitError            a patient or group would be on both sides, or a part is empty
|   |-- WeightsError          weights do not fit the network, or their file is damaged
|   `-- RunFolderError        a run folder is incomplete, in use or of another version
|-- OutputError               a result cannot be written (disk full, no permission)
|-- ArchiveError              a public archive cannot be reached, or sent something else
|-- MissingExtraError         an optional dependency is not installed
|-- WorkerError               a process that prepares batches died
|-- HealthError               exit code 3: training was stopped because it had gone wrong
`-- AccuracyError             exit code 3: a smaller network would find less than the one it is of

Messages say where, what was expected, what was found, and how to mend it. The command
line prints them without a traceback.
"""

import difflib
from collections.abc import Iterable


class BreastsegError(Exception):
    """Base class of all errors that a user can cause or mend."""

    exit_code = 2


class InputError(BreastsegError, ValueError):
    """What the caller gave is wrong."""


class ImageFileError(InputError):
    """An image file is missing, truncated, or not an image."""


class LayoutError(InputError):
    """A folder has no known data set layout, or breaks the layout that it has."""


class ReferenceMaskError(InputError):
    """A reference mask is missing or is not a mask."""


class GeometryError(InputError):
    """Image and mask do not describe the same pixels."""


class RecipeError(InputError):
    """A recipe has an unknown field or a value out of range."""


class SearchSpaceError(InputError):
    """What a search shall vary is unknown, has no end, or makes no recipe."""


class SearchFolderError(InputError):
    """A search folder holds another search, or its study cannot be read."""


class SplitError(InputError):
    """A split would leak or leave a part empty."""


class WeightsError(InputError):
    """Weights do not fit the network or their file is damaged."""


class RunFolderError(InputError):
    """A run folder is incomplete, in use, or written by another version."""


class OutputError(BreastsegError, OSError):
    """A result could not be written; what was there before is untouched."""


class ArchiveError(BreastsegError, OSError):
    """A public archive cannot be reached, or did not send what it has in its index."""


class MissingExtraError(BreastsegError, ImportError):
    """An optional dependency is not installed."""


class WorkerError(BreastsegError, RuntimeError):
    """A worker process that prepares batches died."""


class HealthError(BreastsegError):
    """Training was stopped because it could not lead to a usable network."""

    exit_code = 3


class AccuracyError(BreastsegError):
    """A network made smaller or faster lost more than it may."""

    exit_code = 3


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence for a message about an unknown name: the nearest known one, or all.

    >>> suggestion("dise", ["dice", "bce"])
    " Did you mean 'dice'?"
    >>> suggestion("x", ["dice", "bce"])
    ' There are: bce, dice.'
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" There are: {', '.join(known)}." if known else ""
