import sys
from pathlib import Path

import pytest

from breastseg.io import cache


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Return a home of its own, with no variable set."""
    monkeypatch.delenv("BREASTSEG_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".cache/breastseg"),
        ("darwin", "Library/Caches/breastseg"),
        ("win32", "AppData/Local/breastseg"),
    ],
)
def test_the_folder_is_that_of_the_platform(platform, folder, home, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.cache_dir() == home / folder


def test_the_folder_can_be_moved(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache.cache_dir() == home / "xdg" / "breastseg"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_dir() == home / ".cache" / "breastseg"
    monkeypatch.setenv("BREASTSEG_CACHE", str(home / "mine"))
    assert cache.cache_dir() == home / "mine"


def test_who_has_no_home_has_no_cache(monkeypatch):
    def no_home():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    assert cache.cache_dir() is None
    cache.keep("kind", "00", [1])
    assert cache.load("kind", "00") is None


def test_what_is_kept_is_loaded():
    cache.keep("kind", "00", {"a": [1, 2]})
    assert cache.load("kind", "00") == {"a": [1, 2]}
    assert cache.load("kind", "01") is None
