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
from breastseg.io.atomic import make_folder, write_bytes, write_json

VARIABLE = "BREASTSEG_CACHE"
"""Environment variable: another folder for the cache, or `off`."""

_DIGEST_BYTES = 32

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


def load_bytes(kind: str, key: str) -> bytes | None:
    """Return what keep_bytes kept; None where nothing is, or nothing that can be trusted."""
    path = _path(kind, key, ".bin")
    if path is None:
        return None
    try:
        data = path.read_bytes()
        os.utime(path)  # it was used, and is not the next to go
    except FileNotFoundError:
        return None
    except OSError as error:
        log.info("%s: this file of the cache cannot be read (%s).", path, error.strerror)
        return None
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() == digest:
        return content
    log.info("%s: this file of the cache is damaged and is not used.", path)
    return None


def keep_bytes(kind: str, key: str, content: bytes, *, most_bytes: int) -> None:
    """Keep bytes under a key with their checksum; where that fails, it is only noted in the log.

    Args:
        kind: subfolder of the cache.
        key: hex digits.
        most_bytes: what the subfolder may hold; what was unused for longest goes first.
    """
    path = _path(kind, key, ".bin")
    if path is None or len(content) > most_bytes:
        return
    try:
        make_folder(path.parent)
        write_bytes(path, hashlib.sha256(content).digest() + content)
        _drop_oldest(path.parent, most_bytes)
    except OSError as error:
        log.info("The cache could not be written: %s", error)


def _drop_oldest(folder: Path, most_bytes: int) -> None:
    total = 0
    facts = [(path.stat(), path) for path in folder.glob("*.bin")]
    for fact, path in sorted(facts, key=lambda pair: -pair[0].st_mtime_ns):
        total += fact.st_size
        if total > most_bytes + _DIGEST_BYTES:
            path.unlink(missing_ok=True)


def _path(kind: str, key: str, ending: str = ".json") -> Path | None:
    folder = cache_dir()
    return None if folder is None else folder / kind / f"{key}{ending}"


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
