"""What may be computed anew at any time, kept in the user's cache folder.

Of an image nothing is kept but what a training on CT volumes prepares, see
pipeline.volume_store and docs/decisions/0008-what-the-cache-keeps.md.
"""

import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from breastseg.core.errors import OutputError
from breastseg.io.atomic import make_folder, write_json

VARIABLE = "BREASTSEG_CACHE"
"""Environment variable: another folder for the cache, or `off`."""

log = logging.getLogger(__name__)


def cache_dir() -> Path | None:
    """Return the folder of the cache; None where it is switched off.

    Linux: $XDG_CACHE_HOME or ~/.cache; macOS: ~/Library/Caches; Windows: %LOCALAPPDATA%.
    Source: XDG Base Directory Specification 0.8; Apple, File System Programming Guide.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is not None:
        return None if wanted.strip().lower() in ("", "off", "0", "none") else Path(wanted)
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home, as in some containers
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "breastseg"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"), "breastseg")
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    return (Path(base) if Path(base).is_absolute() else home / ".cache") / "breastseg"


def load(kind: str, key: str) -> Any:
    """Return what was kept under a key; None where nothing is, or nothing that can be trusted.

    Args:
        kind: subfolder of the cache.
        key: hex digits.
    """
    path = _path(kind, key)
    if path is None or not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        content = document["content"]
        if document["sha256"] == _checksum(content):
            return content
        reason = "its checksum is wrong"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}"
    log.info("%s: this file of the cache is damaged (%s) and is not used.", path, reason)
    return None


def keep(kind: str, key: str, content: Any) -> None:
    """Keep a JSON document under a key; where that fails, it is only noted in the log."""
    path = _path(kind, key)
    if path is None:
        return
    try:
        make_folder(path.parent)
        write_json(path, {"sha256": _checksum(content), "content": content})
    except OutputError as error:
        log.info("The cache could not be written: %s", error)


def _path(kind: str, key: str) -> Path | None:
    folder = cache_dir()
    return None if folder is None else folder / kind / f"{key}.json"


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
