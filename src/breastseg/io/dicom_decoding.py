"""Decoding the frames of a long compressed series, in several processes where that is asked for.

None of the decoders of JPEG 2000 frees the interpreter, so threads would decode one after another.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from pydicom.uid import UID

from breastseg.core.scan_faults import ScanError
from breastseg.io.dicom_frames import Frame
from breastseg.io.dicom_pixels import Stored, decode_frame
from breastseg.io.worker_processes import CONTEXT, begin_worker, sheltered_start

# 100 slices of 512 x 512: from here on, two processes gain more than their start costs.
LEAST_PIXELS = 100 * 512 * 512

# Enough for a worker never to wait; not more, so that few decoded frames wait to be taken.
_AHEAD_PER_WORKER = 3


def decode_frames(frames: Sequence[Frame], workers: int = 1) -> Generator[Stored, None, None]:
    """Yield the stored values of frames in their order.

    What comes, and what is raised at which frame, does not depend on the number of workers.

    Args:
        workers: processes that decode, where the frames are compressed and many; 1 starts none.

    Raises:
        ScanError: see io.dicom_pixels.decode_frame.
    """
    if workers > 1 and _is_long_work(frames):
        return _decode_in_processes(frames, workers)
    return (_decode(frame) for frame in frames)


def _is_long_work(frames: Sequence[Frame]) -> bool:
    pixels = sum(rows * columns for rows, columns in (frame.size for frame in frames))
    syntaxes = {UID(frame.transfer_syntax) for frame in frames}
    return pixels >= LEAST_PIXELS and all(
        uid.is_transfer_syntax and uid.is_compressed for uid in syntaxes
    )


def _decode(frame: Frame) -> Stored:
    return decode_frame(frame.path, frame.index, frame.transfer_syntax)


def _decode_or_none(frame: Frame) -> Stored | None:
    """Decode in a worker; None where that fails, since the parent will find out why."""
    try:
        return _decode(frame)
    except ScanError:
        return None


def _decode_in_processes(frames: Sequence[Frame], workers: int) -> Generator[Stored, None, None]:
    # Workers are killed where memory is short. Slower is then better than not at all.
    taken = 0
    with contextlib.suppress(BrokenProcessPool), contextlib.closing(_pool(frames, workers)) as made:
        for frame in frames:
            stored = next(made)
            yield _decode(frame) if stored is None else stored
            taken += 1
    yield from (_decode(frame) for frame in frames[taken:])


def _pool(frames: Sequence[Frame], workers: int) -> Generator[Stored | None, None, None]:
    """Yield decoded frames in their order, a few of them made ahead.

    Raises:
        BrokenProcessPool: a worker died.
    """
    jobs = iter(frames)
    waiting: deque[Future[Stored | None]] = deque()
    pool = ProcessPoolExecutor(workers, CONTEXT, initializer=begin_worker)
    try:
        with sheltered_start():
            for frame in itertools.islice(jobs, workers * _AHEAD_PER_WORKER):
                waiting.append(pool.submit(_decode_or_none, frame))
        while waiting:
            stored = waiting.popleft().result()
            for frame in itertools.islice(jobs, 1):
                waiting.append(pool.submit(_decode_or_none, frame))
            yield stored
    finally:
        pool.shutdown(cancel_futures=True)
