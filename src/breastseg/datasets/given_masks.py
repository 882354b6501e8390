"""Masks that anyone's model made of the images of a data set: which file belongs to which case.

A file is named after its case id or after its image, as nnU-Net names what it predicts
(`case.png` or `case.nii.gz` for `case_0000.png`), with `_mask` or without, in any subfolder;
or it is the `<case>/mask.png` of a prediction folder. A name that ends in `_probability` or
`_prob`, `<case>/probability.*` and any .npz is a probability map.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import ImageFileError, LayoutError
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.folder import walk
from breastseg.io.mask_files import ARRAY_ENDING, ENDINGS, VOLUME_ENDINGS, ending_of
from breastseg.io.raster import file_sha256

_MASK_SUFFIX = "_mask"
_PROBABILITY_SUFFIXES = ("_probability", "_prob")
_FIRST_CHANNEL = "_0000"
_OF_PREDICT = ("overlay.png", "malignancy.png")
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFiles:
    """What was given for one case; at least one of both."""

    mask: Path | None = None
    probability: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenMasks:
    """The masks in a folder, by case id."""

    folder: Path
    files: dict[str, GivenFiles]

    def fingerprint(self, case_ids: Iterable[str]) -> str:
        """Return 12 hex digits of the content of the files of those cases.

        Raises:
            ImageFileError: a file cannot be read.
        """
        digest = hashlib.sha256()
        for case_id in sorted(case_ids):
            files = self.files[case_id]
            for path in (files.mask, files.probability):
                if path is not None:
                    digest.update(f"{case_id} {path.suffix} {file_sha256(path)}\n".encode())
        return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Named:
    """A file with the names that it may mean, the likeliest first."""

    path: Path
    names: tuple[str, ...]
    is_probability: bool


def find_given_masks(folder: Path, cases: Sequence[CaseFiles]) -> GivenMasks:
    """Give every mask in a folder to its case; no mask is read.

    Args:
        cases: of the whole data set; some may lack a mask.

    Raises:
        LayoutError: there is no such folder, it holds no mask, or files belong to no case, to
            several, or several to one; or they are the data set's own reference masks.
    """
    if not folder.is_dir():
        raise LayoutError(f"{folder}: expected a folder of masks, but there is no such folder.")
    endings = VOLUME_ENDINGS if any(case.is_volume for case in cases) else ENDINGS
    try:
        named = [found for path in walk(folder) if (found := _named(path, folder, endings))]
    except OSError as error:
        raise LayoutError(f"{folder}: the folder cannot be read ({error}).") from None
    if not named:
        raise LayoutError(
            f"{folder}: expected masks or probabilities ({', '.join(endings)}), found none."
        )
    owners = _owners(cases)
    belonging: dict[tuple[str, bool], list[Path]] = defaultdict(list)
    strays: list[Path] = []
    unclear: list[Path] = []
    for file in named:
        meant = next((owners[name] for name in file.names if name in owners), [])
        if len(meant) == 1:
            belonging[meant[0], file.is_probability].append(file.path)
        else:
            (unclear if meant else strays).append(file.path)
    _refuse_strays(folder, strays, unclear, cases)
    _refuse_doubles(folder, belonging)
    _refuse_references(folder, belonging, cases)
    return GivenMasks(folder=folder, files=_files(belonging))


def tell(names: Sequence[object]) -> str:
    """Return a few of the names and how many more there are.

    >>> tell(["a", "b"]), tell(list("abcdefgh"))
    ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 3 more")
    """
    told = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return told + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _named(path: Path, folder: Path, endings: Sequence[str]) -> _Named | None:
    ending = ending_of(path)
    if ending is None or ending.lower() not in endings or path.name in _OF_PREDICT:
        return None
    *parents, name = path.relative_to(folder).parts
    stem = name.removesuffix(ending)
    is_probability = stem == "probability" or stem.endswith(_PROBABILITY_SUFFIXES)
    if parents and stem in ("mask", "probability"):
        return _Named(path, ("__".join(parents),), is_probability)
    bare = stem
    for suffix in (_MASK_SUFFIX, *_PROBABILITY_SUFFIXES):
        bare = bare.removesuffix(suffix)
    names = [name for each in (stem, bare) for name in ("__".join([*parents, each]), each)]
    return _Named(path, tuple(names), is_probability or ending.lower() == ARRAY_ENDING)


def _owners(cases: Sequence[CaseFiles]) -> dict[str, list[str]]:
    """Return the case ids that each name may mean; a case id means its own case alone."""
    owners: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.series_paths:  # its files are slices, which name no case
            continue
        ending = ending_of(case.image_path)
        stem = case.image_path.name.removesuffix(ending) if ending else case.image_path.stem
        for name in {stem, stem.removesuffix(_FIRST_CHANNEL)}:
            owners[name].append(case.case_id)
    return {**owners, **{case.case_id: [case.case_id] for case in cases}}


def _refuse_strays(
    folder: Path, strays: Sequence[Path], unclear: Sequence[Path], cases: Sequence[CaseFiles]
) -> None:
    if strays:
        example = cases[0].case_id if cases else "case"
        ending = VOLUME_ENDINGS[0] if cases and cases[0].is_volume else ".png"
        raise LayoutError(
            f"{folder}: expected masks named after the images of the data set, such as "
            f"'{example}{ending}', but {len(strays)} files belong to none: "
            f"{tell(list(_within(folder, strays)))}. Rename or remove them."
        )
    if unclear:
        raise LayoutError(
            f"{folder}: {len(unclear)} files could belong to several images of the same name: "
            f"{tell(list(_within(folder, unclear)))}. Name them by their case ids (folder__name) "
            "or lay them in the same subfolders."
        )


def _refuse_doubles(folder: Path, belonging: dict[tuple[str, bool], list[Path]]) -> None:
    doubles = [paths for paths in belonging.values() if len(paths) > 1]
    if doubles:
        raise LayoutError(
            f"{folder}: expected one mask and one probability map for each image, but "
            f"{len(doubles)} images have several, such as "
            f"{tell(list(_within(folder, doubles[0])))}. Keep one."
        )


def _refuse_references(
    folder: Path, belonging: dict[tuple[str, bool], list[Path]], cases: Sequence[CaseFiles]
) -> None:
    drawn = {path.resolve() for case in cases for path in case.mask_paths or ()}
    same = [path for paths in belonging.values() for path in paths if path.resolve() in drawn]
    if same:
        raise LayoutError(
            f"{folder}: {len(same)} files are the reference masks of the data set, such as "
            f"'{same[0].name}'. Name the folder of the masks that the model has made."
        )


def _within(folder: Path, paths: Iterable[Path]) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in paths)


def _files(belonging: dict[tuple[str, bool], list[Path]]) -> dict[str, GivenFiles]:
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for (case_id, is_probability), (path,) in belonging.items():
        found[case_id]["probability" if is_probability else "mask"] = path
    return {case_id: GivenFiles(**files) for case_id, files in sorted(found.items())}


def read_case_list(path: Path, cases: Sequence[CaseFiles]) -> tuple[str, ...]:
    """Read case ids, or names of images, from a text file, one a line.

    Raises:
        ImageFileError: the file cannot be read.
        LayoutError: a name that no image or several have, or no name at all.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ImageFileError(f"{path}: expected a text file of case ids, but {error}.") from None
    names = [line.strip() for line in lines if line.strip()]
    owners = _owners(cases)
    unknown = [name for name in names if len(owners.get(name, ())) != 1]
    if unknown or not names:
        raise LayoutError(
            f"{path}: expected the case id of an image in each line, but {len(unknown)} of "
            f"{len(names)} lines name none or several: {tell(unknown)}. Case ids are in cases.csv "
            "of any scorecard of these images."
        )
    return tuple(dict.fromkeys(owners[name][0] for name in names))
