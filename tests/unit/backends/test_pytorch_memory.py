import ctypes
import platform
import subprocess
import sys

import pytest

from breastseg.backends.pytorch.memory import keep_freed_memory

# Memory of 64 MiB is written, freed and written again: how many new pages does that take?
SCRIPT = """
import ctypes, resource, sys
from breastseg.backends.pytorch.memory import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = ctypes.create_string_buffer(64 << 20)
    del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_freed_memory()
new_pages()
print(new_pages() * resource.getpagesize() >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's setting")
@pytest.mark.parametrize(("how", "megabytes"), [("kept", range(4)), ("given back", range(60, 70))])
def test_freed_memory_is_taken_again(how, megabytes):
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) in megabytes


def test_another_c_library_is_left_alone(monkeypatch):
    class NoMallopt:
        pass

    monkeypatch.setattr(ctypes, "CDLL", lambda name: NoMallopt())
    keep_freed_memory()
