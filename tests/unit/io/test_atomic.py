import json
import os
import subprocess
import sys
import textwrap

import pytest

from breastseg.core.errors import OutputError
from breastseg.io.atomic import make_folder, write_bytes, write_json, write_text


def run_python(code, *arguments):
    """Run code in a process of its own, whose limits and rights can be changed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_written_can_be_read_and_nothing_else_is_left(tmp_path):
    write_bytes(tmp_path / "a.bin", b"one")
    write_bytes(tmp_path / "a.bin", b"two")
    write_text(tmp_path / "b.txt", "größer als 5 mm")
    assert (tmp_path / "a.bin").read_bytes() == b"two"
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "größer als 5 mm"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.txt"]


def test_files_get_the_rights_of_ordinary_files(tmp_path):
    write_text(tmp_path / "new.txt", "")
    (tmp_path / "plain.txt").write_text("")
    assert (tmp_path / "new.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_json_is_readable_and_has_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"dice": 0.5, "name": "größer"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["dice"] == 0.5
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"dice": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["dice"] == 0.5


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No such file"):
        write_text(tmp_path / "gone" / "a.txt", "x")


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written"):
        write_text(tmp_path / "a.txt", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "runs").write_text("x")
    for folder in (tmp_path / "runs", tmp_path / "runs" / "first"):
        with pytest.raises(OutputError, match=r"runs.*: cannot be written .*another --output"):
            make_folder(folder)


def test_folders_are_made_with_their_parents(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the file size are POSIX's")
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"the last good ones")
    message = run_python(
        """
        import resource, sys
        from pathlib import Path
        from breastseg.core.errors import OutputError
        from breastseg.io.atomic import write_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write_bytes(Path(sys.argv[1]), bytes(100_000))
        except OutputError as error:
            print(error)
        """,
        tmp_path / "weights.bin",
    )
    assert "weights.bin: cannot be written (File too large)" in message
    assert "what was there before is untouched" in message
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]
    assert (tmp_path / "weights.bin").read_bytes() == b"the last good ones"


@pytest.mark.skipif(sys.platform == "win32", reason="a folder's rights are POSIX's")
def test_a_read_only_folder_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    tmp_path.chmod(0o555)
    message = run_python(
        """
        import os, sys
        from pathlib import Path
        from breastseg.core.errors import OutputError
        from breastseg.io.atomic import write_text
        if os.geteuid() == 0:  # rights do not bind the superuser
            os.setuid(65534)
        try:
            write_text(Path(sys.argv[1]), "new")
        except OutputError as error:
            print(error)
        """,
        tmp_path / "a.txt",
    )
    tmp_path.chmod(0o755)
    assert "a.txt: cannot be written (Permission denied)" in message
    assert (tmp_path / "a.txt").read_text() == "old"


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "x")
    assert list(tmp_path.iterdir()) == []
