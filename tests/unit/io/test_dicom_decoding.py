"""A series that is decoded in several processes is the same series, and fails in the same way."""

import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from breastseg.core.scan_faults import ScanError
from breastseg.io import dicom_decoding
from breastseg.io.dicom_frames import ct_frames
from breastseg.io.dicom_series import read_series
from tests.dicom_phantom import DAMAGES, write_series

WORKERS = 2
AHEAD = 3 * WORKERS
READ_WITHOUT_A_MAIN_GUARD = """
import sys
from pathlib import Path
from breastseg.io import dicom_decoding
from breastseg.io.dicom_frames import ct_frames
from breastseg.io.dicom_series import read_series
dicom_decoding.LEAST_PIXELS = 0
print(read_series(Path(sys.argv[1]), workers=2).image.pixels.sum())
"""


@pytest.fixture
def compressed(tmp_path, monkeypatch):
    """A series that is long enough to be decoded in processes."""
    monkeypatch.setattr(dicom_decoding, "LEAST_PIXELS", 0)
    truth = write_series(tmp_path / "series", shape=(20, 5, 7))
    for path in truth.paths:
        dataset = dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    return truth


class InlinePool:
    """Works at once, without a process; keeps count, and dies after some frames if told to."""

    made = 0
    dies_after = 10**6

    def __init__(self, *_args, **_options):
        type(self).made = 0

    def submit(self, work, frame):
        future = Future()
        type(self).made += 1
        if self.made > self.dies_after:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(work(frame))
        return future

    def shutdown(self, cancel_futures):
        assert cancel_futures


@pytest.fixture
def inline(monkeypatch):
    pool = type("Pool", (InlinePool,), {})
    monkeypatch.setattr(dicom_decoding, "ProcessPoolExecutor", pool)
    return pool


def answer(folder, workers):
    try:
        series = read_series(folder, workers=workers)
    except ScanError as error:
        return str(error)
    return series.image.pixels.tobytes(), series.image.affine.tobytes(), series.notes


def test_processes_give_the_same_series(compressed):
    series = read_series(compressed.folder, workers=WORKERS)
    assert np.array_equal(series.image.pixels, compressed.pixels)
    assert series.instance_paths == compressed.paths


def test_processes_refuse_the_same_slice(compressed):
    for at in (9, 14):
        dataset = dcmread(compressed.paths[at])
        dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\4\0\0\0oops"
        dataset.save_as(compressed.paths[at])
    refused = answer(compressed.folder, WORKERS)
    assert compressed.paths[9].name in refused
    assert refused == answer(compressed.folder, 1)


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_refused_alike(compressed, inline, damage):
    DAMAGES[damage][0](compressed, 2)
    assert answer(compressed.folder, WORKERS) == answer(compressed.folder, 1)


def test_a_script_without_a_main_guard_can_have_workers(compressed):
    script = compressed.folder.parent / "script.py"
    script.write_text(READ_WITHOUT_A_MAIN_GUARD)
    command = [sys.executable, str(script), str(compressed.folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == f"{compressed.pixels.sum()}\n"


def test_what_is_decoded_ahead_is_bounded(compressed, inline):
    frames = [frame for path in compressed.paths for frame in ct_frames(path, dcmread(path))]
    decoded = dicom_decoding.decode_frames(frames, WORKERS)
    for taken in range(1, len(frames)):
        next(decoded)
        assert inline.made <= taken + AHEAD
    decoded.close()


@pytest.mark.parametrize("dies_after", [0, 7])
def test_where_a_worker_dies_the_rest_is_decoded_here(compressed, inline, dies_after):
    inline.dies_after = dies_after
    series = read_series(compressed.folder, workers=WORKERS)
    assert np.array_equal(series.image.pixels, compressed.pixels)


def test_no_process_is_started_where_it_would_not_pay(compressed, inline, monkeypatch, tmp_path):
    inline.dies_after = 0
    inline.made = 0
    read_series(compressed.folder)
    read_series(write_series(tmp_path / "plain").folder, workers=WORKERS)
    monkeypatch.undo()
    monkeypatch.setattr(dicom_decoding, "ProcessPoolExecutor", inline)
    read_series(compressed.folder, workers=WORKERS)
    assert inline.made == 0
