"""A model to predict with."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from breastseg.api.prediction import Prediction
from breastseg.api.scan import Scan, Source, Spacing, only_source_of, read_source, sources_of
from breastseg.core.lesion import check_threshold
from breastseg.inference.runtime import Device, Precision
from breastseg.training.model import OpenModel, load_model, open_model
from breastseg.training.shipped import DEFAULT_MODEL, resolve_model
from breastseg.workflows.streaming import cases_at_once, in_order


def load(
    model_or_run: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    threads: int | None = None,
    device: Device = "cpu",
    precision: Precision | None = None,
) -> "Model":
    """Load a model, ready to predict.

    Args:
        model_or_run: the name of a model that ships (`breastseg models list`), a run folder of
            either framework, or the folds of a cross-validation, which predict as one.
        threads: of the CPU; None takes all.
        device: "cuda" needs ONNX Runtime with CUDA.
        precision: "bfloat16" is faster on CPUs that have it, and differs in the third digit. None
            takes "int8" of a model in 8 bits, which has no other, and "float32" of all others.

    Raises:
        RunFolderError: there is no such model, or its folder cannot be used.
        RecipeError, WeightsError: its files are damaged.
        InputError: the machine does not offer the device or the precision.
        MissingExtraError: the device needs a package that is not installed.
    """
    chosen = open_model(resolve_model(Path(model_or_run)))
    opened = load_model(chosen, device=device, threads=threads, precision=precision, cached=True)
    return Model(opened, at_once=1 if chosen.of_volumes else cases_at_once(threads))


class Model:
    """A loaded model, made by `load`; threads that use it wait for each other at the network."""

    def __init__(self, opened: OpenModel, *, at_once: int = 1) -> None:
        self._opened = opened
        self._at_once = at_once
        # What stands in files of the run, as it was when the weights were read.
        self._fingerprint = opened.model.fingerprint
        self._threshold = opened.model.operating_threshold
        self._notice = opened.model.notice

    def __repr__(self) -> str:
        kind = "CT volumes" if self.of_volumes else "pictures"
        return f"<breastseg.Model {self.name}, {self.fingerprint}, for {kind}>"

    @property
    def name(self) -> str:
        """The name of its recipe, with the number of folds where there are several."""
        return self._opened.model.recipe_name

    @property
    def fingerprint(self) -> str:
        """12 hex digits of weights, recipe and calibration."""
        return self._fingerprint

    @property
    def of_volumes(self) -> bool:
        """Whether it is for CT volumes; for pictures otherwise."""
        return self._opened.model.of_volumes

    @property
    def threshold(self) -> float:
        """How probable a finding must be to be shown, in (0, 1], where predict gets no other."""
        return self._threshold

    @property
    def notice(self) -> str | None:
        """What every reader of its results must know, such as what it was trained on."""
        return self._notice

    def predict(
        self,
        image_or_path: Scan,
        *,
        threshold: float | None = None,
        spacing_mm: Spacing | None = None,
    ) -> Prediction:
        """Find the lesions of one scan.

        Args:
            image_or_path: a picture: its path (PNG, JPEG, TIFF, BMP, DICOM ultrasound of one
                frame), or its grey values (rows, columns) in any unit, also as three equal colours
                (rows, columns, 3). For a model of CT: the
                folder of a DICOM series, a NIfTI file in HU, or an `Image` in HU with an affine.
            threshold: operating threshold in (0, 1], see core.lesion.find_lesions; the model's
                own where None.
            spacing_mm: distance of pixel centres along (row, column), where the caller knows it
                and the picture does not say; without it measures are in pixels.

        Raises:
            InputError: not one scan, a mask, a scan of the other kind than the model's, values
                that are not finite, or a threshold or spacing out of range.
            ImageFileError: the file cannot be read; a ScanError with its code for DICOM and NIfTI.
            GeometryError: an array that is not (rows, columns).
        """
        _check(threshold)
        return self._predict(only_source_of(image_or_path), threshold, spacing_mm)

    def predict_many(
        self, images_or_paths: Iterable[Scan], *, threshold: float | None = None
    ) -> Iterator[Prediction]:
        """Find the lesions of many scans, one after the other in their order.

        They are predicted as they are asked for, and of pictures a few ahead in threads, unless
        `load` was told to take one. Nothing is kept of a scan that was handed out. The first
        that cannot be predicted raises its error and ends the iteration; whoever wants to go on
        calls `predict` for each.

        Args:
            images_or_paths: as of `predict`; a folder stands for all scans that
                `breastseg predict` finds in it, sorted by case id, without masks.
            threshold: as of `predict`.

        Raises:
            InputError, ImageFileError, GeometryError: as of `predict`.
        """
        _check(threshold)
        sources = (source for each in images_or_paths for source in sources_of(each))
        finished = in_order(
            lambda source: self._predict(source, threshold), sources, at_once=self._at_once
        )
        return (each.result() for each in finished)

    def _predict(
        self, source: Source, threshold: float | None, spacing_mm: Spacing | None = None
    ) -> Prediction:
        scan = read_source(source, self._opened.model, spacing_mm)
        threshold = threshold or self.threshold
        if self.of_volumes:
            found = self._opened.predict_volume(
                scan.case_id, scan.image, sha256=scan.sha256, threshold=threshold
            )
            return Prediction.of_volume(found, notes=scan.notes, notice=self.notice)
        planar = self._opened.find(scan.case_id, scan.image, threshold)
        return Prediction.of_picture(planar, notes=scan.notes, notice=self.notice)


def _check(threshold: float | None) -> None:
    if threshold is not None:
        check_threshold(threshold)
