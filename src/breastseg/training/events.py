"""Event files for TensorBoard, written with the `tensorboard` package and neither framework.

Its own EventFileWriter is not used: it opens its file through TensorFlow where that is
installed, which takes seconds, and puts the machine's name into the file's.

Source: TFRecord, tensorboard/summary/writer/record_writer.py; event.proto and summary.proto.
"""

import importlib
import io
import itertools
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image as Pillow

from breastseg.core.errors import MissingExtraError

_NAME = "events.out.tfevents."
_VERSION = "brain.Event:2"
_LENGTH, _CHECKSUM_BYTES = struct.Struct("<Q"), 4


class EventFolder:
    """The event files of one run: those that are there, and a new one for what is added.

    The new file appears with the first event. It is opened for each addition alone, so that
    everything added is on disk, and nothing is left open when a training is interrupted.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events = _import("tensorboard.compat.proto.event_pb2")
        self._summaries = _import("tensorboard.compat.proto.summary_pb2")
        self._writer = _import("tensorboard.summary.writer.record_writer").RecordWriter
        self._damage = _import("google.protobuf.message").DecodeError
        self._path = self._next_path()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{_NAME}[0-9]*"))

    def _next_path(self) -> Path:
        """Return a name behind all others: TensorBoard reads them in this order."""
        names = [path.name.removeprefix(_NAME) for path in self._files()]
        numbers = [int(name) for name in names if name.isdigit()]
        return self._folder / f"{_NAME}{max(numbers, default=0) + 1:06d}"

    def scalars(self, tag: str) -> dict[int, float]:
        """Return the values of a tag by step, as far as the files are whole."""
        return {
            event.step: value.simple_value
            for path in self._files()
            for event in self._read(path)
            for value in event.summary.value
            if value.tag == tag
        }

    def _read(self, path: Path) -> Iterator[Any]:
        """Yield the events of a file up to the first that is damaged."""
        for record in _records(path.read_bytes()):
            try:
                yield self._events.Event.FromString(record)
            except self._damage:
                return

    def clear(self) -> None:
        """Remove what is there; the new file has a name that no reader knows yet."""
        self._path = self._next_path()
        for path in self._files():
            path.unlink()

    def add(self, events: Iterable[Any]) -> None:
        """Append events at once.

        Raises:
            OSError: the file cannot be written.
        """
        self._folder.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        writer = self._writer(buffer)
        if not self._path.exists():
            first = self._events.Event(wall_time=time.time(), file_version=_VERSION)
            events = itertools.chain([first], events)
        for event in events:
            writer.write(event.SerializeToString())
        with self._path.open("ab") as file:
            file.write(buffer.getvalue())

    def figures(self, step: int, values: Mapping[str, float], at: float | None = None) -> Any:
        """Return an event of numbers by tag. at: when, in seconds since 1970; None is now."""
        value = self._summaries.Summary.Value
        return self._event(step, [value(tag=t, simple_value=v) for t, v in values.items()], at)

    def pictures(self, step: int, pictures: Mapping[str, bytes]) -> Any:
        """Return an event of PNG files in RGB by tag."""
        values = []
        for tag, png in pictures.items():
            with Pillow.open(io.BytesIO(png)) as picture:
                width, height = picture.size
            image = self._summaries.Summary.Image(
                width=width, height=height, colorspace=3, encoded_image_string=png
            )
            values.append(self._summaries.Summary.Value(tag=tag, image=image))
        return self._event(step, values)

    def text(self, tag: str, markdown: str) -> Any:
        """Return an event of a text that belongs to the run as a whole."""
        tensors = _import("tensorboard.compat.proto.tensor_pb2")
        types = _import("tensorboard.compat.proto.types_pb2")
        plugin = self._summaries.SummaryMetadata.PluginData(plugin_name="text")
        metadata = self._summaries.SummaryMetadata(
            plugin_data=plugin, data_class=self._summaries.DATA_CLASS_TENSOR
        )
        tensor = tensors.TensorProto(dtype=types.DT_STRING, string_val=[markdown.encode()])
        value = self._summaries.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        return self._event(0, [value])

    def _event(self, step: int, values: list[Any], at: float | None = None) -> Any:
        summary = self._summaries.Summary(value=values)
        when = time.time() if at is None else at
        return self._events.Event(wall_time=when, step=step, summary=summary)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    # A tensorboard that does not fit its protobuf fails with TypeError or worse, not ImportError.
    except Exception as error:
        raise MissingExtraError(
            f'tensorboard is not installed ({error}). Install it with: pip install "breastseg'
            '[tensorboard]"'
        ) from None


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the whole records of a TFRecord file; a kill may have cut the last one off."""
    place = 0
    while place + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size + _CHECKSUM_BYTES
        if place + length + _CHECKSUM_BYTES > len(data):
            return
        yield data[place : place + length]
        place += length + _CHECKSUM_BYTES
