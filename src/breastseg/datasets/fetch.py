"""Fetching a planned download into a folder that is a data set: whole series, resumable.

DIR/<case>/ct/...              the images of a CT series, as they are in the archive
DIR/<case>/<modality>-<hash>/  each mask that refers to it
DIR/SOURCES.md                 licences and citations
DIR/sources.json               the same for programs, with every series
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from breastseg.core.errors import ArchiveError, OutputError
from breastseg.core.series import series_case_id
from breastseg.datasets.public_ct import Archive, FetchPlan, MaskedImage, SeriesEntry
from breastseg.io.atomic import make_folder, write_json, write_text

Progress = Callable[[str, int, int], None]

SOURCES = "SOURCES.md"
_PART = ".part"
_RESERVE_MB = 200


def missing_series(plan: FetchPlan, output: Path) -> list[tuple[SeriesEntry, Path]]:
    """Return the series that a folder does not hold yet, and where each goes."""
    wanted = [pair for item in plan.items for pair in _places(item, output)]
    return [(entry, folder) for entry, folder in wanted if not folder.is_dir()]


def _places(item: MaskedImage, output: Path) -> list[tuple[SeriesEntry, Path]]:
    case = output / series_case_id(item.image.series_uid, "CT")
    masks = [(mask, case / _mask_folder(mask)) for mask in item.masks]
    return [(item.image, case / "ct"), *masks]


def _mask_folder(mask: SeriesEntry) -> str:
    digest = hashlib.sha256(mask.series_uid.encode("ascii", "replace")).hexdigest()
    return f"{mask.modality.lower()}-{digest[:12]}"


def fetch(plan: FetchPlan, archive: Archive, output: Path, progress: Progress) -> int:
    """Download what a folder does not hold yet. A series has its name only when it is whole.

    Returns:
        The number of series that were downloaded.

    Raises:
        ArchiveError: the archive cannot be reached, or sends fewer files than its index names;
            what was downloaded before stays.
        OutputError: the folder cannot be written, or the disk is too small.
    """
    make_folder(output)
    missing = missing_series(plan, output)
    _check_space(missing, output)
    write_json(output / "sources.json", sources(plan))
    write_text(output / SOURCES, sources_page(plan))
    for done, (entry, folder) in enumerate(missing, start=1):
        _fetch_series(archive, entry, folder, output)
        progress("Downloading series", done, len(missing))
    return len(missing)


def _check_space(missing: list[tuple[SeriesEntry, Path]], output: Path) -> None:
    needed = sum(entry.size_mb for entry, _ in missing) + _RESERVE_MB
    free = shutil.disk_usage(output).free / 1e6
    if missing and free < needed:
        raise OutputError(
            f"{output}: expected {needed:,.0f} MB of free space, found {free:,.0f} MB. Free some, "
            "choose another --output, or take less with --limit."
        )


def _fetch_series(archive: Archive, entry: SeriesEntry, folder: Path, output: Path) -> None:
    part = output / _PART
    try:
        # Left by a download that was interrupted.
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        archive.download(entry, part)
        found = sum(path.is_file() for path in part.rglob("*"))
        if found != entry.num_files:
            raise ArchiveError(
                f"{folder}: expected {entry.num_files} files of the series, the archive sent "
                f"{found}. Start the same command again; it goes on with this series."
            )
        folder.parent.mkdir(exist_ok=True)
        part.replace(folder)
    except ArchiveError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error}).") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sources(plan: FetchPlan) -> dict[str, Any]:
    """Return where everything is from, in plain values."""
    return {
        "schema_version": 1,
        "collection": plan.collection.name,
        "index": plan.version,
        "notes": list(plan.notes),
        "citations": dict(plan.citations),
        "cases": [
            {
                "case": series_case_id(item.image.series_uid, "CT"),
                "image": asdict(item.image),
                "masks": [asdict(mask) for mask in item.masks],
            }
            for item in plan.items
        ],
    }


def sources_page(plan: FetchPlan) -> str:
    """Return SOURCES.md: what the data is, its licences and how to cite it."""
    lines = [f"# {plan.collection.title}", "", f"{plan.collection.content}.", ""]
    lines.append(
        f"From the Imaging Data Commons, index {plan.version}: {len(plan.items)} CT series of "
        f"{plan.num_patients} patients, unchanged. Every series is listed in sources.json."
    )
    lines += ["", "## Licences", ""]
    terms = sorted({(entry.licence, entry.doi) for entry in plan.series})
    lines += [f"- {licence}: https://doi.org/{doi}" for licence, doi in terms]
    lines += ["", "These licences ask you to name the sources wherever you use the data."]
    lines += ["", "## Cite", ""]
    for doi in dict.fromkeys(doi for _, doi in terms):
        lines.append(f"- {plan.citations.get(doi, f'https://doi.org/{doi}')}")
    lines.append(
        "- Fedorov, A., Longabaugh, W. J. R., Pot, D., et al. (2023). National Cancer Institute "
        "Imaging Data Commons: toward transparency, reproducibility, and scalability in imaging "
        "artificial intelligence. RadioGraphics 43(12). https://doi.org/10.1148/rg.230180"
    )
    if plan.notes:
        lines += ["", "## Left", "", *(f"- {note}" for note in plan.notes)]
    return "\n".join(lines) + "\n"
