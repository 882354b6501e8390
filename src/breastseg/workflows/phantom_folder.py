"""A folder of phantoms that can be gone on with: what was asked for, and which cases are whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from breastseg import __version__
from breastseg.core.errors import InputError, OutputError
from breastseg.datasets.phantom_ct.writing import TRUTH, TRUTH_FILE
from breastseg.io.atomic import make_folder, write_json

REQUEST = "phantoms.json"


def begin_folder(output: Path, request: dict[str, Any]) -> None:
    """Make a folder, or take one that the same request began.

    Args:
        output: new, empty, or with the phantoms of an equal request.
        request: what decides the bytes of the cases; plain values.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    wanted = json.loads(json.dumps({"breastseg": __version__, **request}))
    path = output / REQUEST
    if path.is_file():
        _require_equal(path, wanted)
        return
    require_empty(output)
    write_json(path, wanted)


def require_empty(output: Path) -> None:
    """Make a folder and refuse one that holds files.

    Raises:
        OutputError: it holds files, or cannot be made.
    """
    make_folder(output)
    if any(output.iterdir()):
        raise OutputError(
            f"{output}: expected a new or empty folder for the phantoms, but it holds files. "
            "Choose another --output."
        )


def require_numbers(num_cases: int, seed: int) -> None:
    """Refuse numbers out of range.

    Raises:
        InputError: there is no case to make, or the seed is negative.
    """
    if num_cases < 1:
        raise InputError(f"num_cases must be 1 or more, got {num_cases}.")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}.")


def is_whole(output: Path, case_id: str) -> bool:
    """Say whether a case has all its files; its truth is written last."""
    return (output / TRUTH / case_id / TRUTH_FILE).is_file()


def _require_equal(path: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise OutputError(f"{path}: cannot be read. Choose another --output.") from None
    differing = [*_differences(found if isinstance(found, dict) else {}, wanted)]
    if differing:
        raise OutputError(
            f"{path.parent}: holds phantoms of another request: {'; '.join(differing)}. Choose "
            "another --output, or ask for the same to go on."
        )


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            yield f"{name} is {wanted.get(name)!r}, was {found.get(name)!r}"
