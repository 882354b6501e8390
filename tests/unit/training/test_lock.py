"""Real processes: a lock within one process would prove little."""

import os
import signal
import subprocess
import sys

import pytest

from breastseg.core.errors import OutputError, RunFolderError
from breastseg.training.lock import LOCK_NAME, only_trainer

HOLD = """
import sys
from pathlib import Path
from breastseg.training.lock import only_trainer
with only_trainer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Return another process that holds the lock of tmp_path / 'run'."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_second_process_is_refused_with_the_id_of_the_first(holder, tmp_path):
    with pytest.raises(
        RunFolderError, match=rf"nobody trains, but process {holder.pid} on .+ does"
    ):
        only_trainer(tmp_path / "run").__enter__()


def test_when_the_first_is_done_the_next_may_train(holder, tmp_path):
    holder.communicate("")
    assert holder.returncode == 0
    with only_trainer(tmp_path / "run"):
        assert f"process {os.getpid()} " in (tmp_path / "run" / LOCK_NAME).read_text()


def test_the_lock_of_a_killed_process_blocks_nobody(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert f"process {holder.pid} " in (tmp_path / "run" / LOCK_NAME).read_text()
    with only_trainer(tmp_path / "run"):
        pass


def test_an_error_gives_the_lock_back(tmp_path):
    with pytest.raises(KeyError), only_trainer(tmp_path):
        raise KeyError
    with only_trainer(tmp_path):
        pass


def test_without_locks_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with only_trainer(tmp_path), only_trainer(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / LOCK_NAME).mkdir()
    with pytest.raises(OutputError, match=r"\.lock: cannot be written"):
        only_trainer(tmp_path).__enter__()
