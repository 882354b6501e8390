"""Which pictures the results of a series have: for the page, for files and for the PACS."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from breastseg.core.image import Image, LabelMap
from breastseg.core.lesion import Lesion
from breastseg.core.lesion_volume import VolumeLesion
from breastseg.core.series import Series
from breastseg.io.dicom_results import Maker, Picture
from breastseg.io.raster import encode_jpeg
from breastseg.report.overlays import draw_overlay
from breastseg.report.rendering import data_uri
from breastseg.report.results_page import LesionPictures
from breastseg.report.volume_planes import Viewer
from breastseg.report.volume_views import (
    BONE,
    LUNG,
    Style,
    lesion_picture,
    middle_picture,
    projection_picture,
)

MAX_LESIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """All pictures of a series.

    captures: for the PACS and as PNG files; one of the whole where there is no lesion.
    lesions: for the page, the first MAX_LESIONS.
    overview: caption and data URI of pictures of the whole, for the page.
    """

    captures: tuple[Picture, ...]
    lesions: tuple[LesionPictures, ...]
    overview: tuple[tuple[str, str], ...]


def draw(
    series: Series, label_map: LabelMap, lesions: Sequence[Lesion | VolumeLesion], maker: Maker
) -> Drawn:
    """Draw the lesions of a series."""
    by_model = maker.algorithm is not None
    if series.modality == "US":
        return _planar(series, label_map, lesions, by_model)
    return draw_volume(series.image, label_map, lesions, by_model=by_model)


def draw_volume(
    image: Image, label_map: LabelMap, lesions: Sequence[Lesion | VolumeLesion], *, by_model: bool
) -> Drawn:
    """Draw the lesions of a volume; of an image with an affine."""
    viewer = Viewer.of(image, label_map)
    volumes = [lesion for lesion in lesions if isinstance(lesion, VolumeLesion)][:MAX_LESIONS]
    captures, entries = [], []
    for lesion in volumes:
        picture = lesion_picture(viewer, lesion, Style(by_model))
        slices = (lesion.bounding_box[0], lesion.bounding_box[3])
        captures.append(Picture(pixels=picture, caption=f"Lesion {lesion.number}", slices=slices))
        more = tuple(
            (window.name, _uri(lesion_picture(viewer, lesion, Style(by_model, window))))
            for window in (LUNG, BONE)
        )
        entries.append(LesionPictures(number=lesion.number, picture=_uri(picture), more=more))
    projections = projection_picture(viewer, Style(by_model, BONE))
    overview = [("Maximum intensity projections", _uri(projections))]
    if not captures:
        middle = middle_picture(viewer, Style(by_model))
        every = (0, len(label_map))
        captures.append(Picture(pixels=middle, caption="No lesion was marked", slices=every))
        overview.insert(0, ("Middle planes", _uri(middle)))
    return Drawn(captures=tuple(captures), lesions=tuple(entries), overview=tuple(overview))


def _planar(
    series: Series, label_map: LabelMap, lesions: Sequence[Lesion | VolumeLesion], by_model: bool
) -> Drawn:
    mask = label_map[0] > 0
    flat = [lesion for lesion in lesions if isinstance(lesion, Lesion)]
    picture = draw_overlay(
        series.image.pixels[0],
        mask if by_model else None,
        None if by_model else mask,
        lesions=flat,
    )
    caption = "Lesions" if flat else "No lesion was marked"
    return Drawn(
        captures=(Picture(pixels=picture, caption=caption, slices=(0, 1)),),
        lesions=(),
        overview=((caption, _uri(picture)),),
    )


def _uri(picture: np.ndarray) -> str:
    return data_uri(encode_jpeg(picture), "jpeg")
