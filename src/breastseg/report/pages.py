"""Self-contained HTML pages: comparisons, searches, and lesions found in scans.

The pages need no script, no font and no network. Everything that is put into them is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from breastseg.core.lesion import Lesion
from breastseg.report.rendering import plural, render, require_local

if TYPE_CHECKING:
    from breastseg.inference.volume_finding import VolumeFinding

_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionEntry:
    """One image of the prediction page.

    picture: URL of the overlay: a relative path, percent-encoded, or a data URI.
    lesions: what was found in it; empty where nothing was.
    classes: probability of each class of the whole image; empty where the model tells none.
    notes: what a reader should know of the image.
    page: URL of the page of a CT volume, relative; None for a picture.
    malignancy: URL of the picture of where the score for malignant comes from; None without one.
    unsure: whether the outer contour would hold most of the image.
    """

    case_id: str
    picture: str
    lesions: "tuple[Lesion | VolumeFinding, ...]"
    notes: tuple[str, ...] = ()
    page: str | None = None
    classes: Mapping[str, float] = field(default_factory=dict)
    malignancy: str | None = None
    unsure: bool = False

    def __post_init__(self) -> None:
        require_local(self.case_id, self.picture)
        for url in (self.page, self.malignancy):
            require_local(self.case_id, url or self.picture)

    @property
    def classes_told(self) -> str:
        """The classes of the whole image, the most probable first, in words."""
        ranked = sorted(self.classes.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {share:.2f}" for name, share in ranked)

    @property
    def alternative(self) -> str:
        """The picture in words, for those who don't see it."""
        if not self.lesions:
            return f"{self.case_id}: no lesion found"
        return f"{self.case_id}: {plural(len(self.lesions), 'lesion')} outlined and numbered"


def comparison_page(document: Mapping[str, Any]) -> str:
    """Return the page that compares runs.

    Args:
        document: comparison.json, see workflows.compare.
    """
    # The page of predictions has no figure and need not wait for what draws them; likewise below.
    from breastseg.report.figures import dice_forest

    means = {
        row["name"]: (
            row["summary"]["dice"]["value"],
            row["summary"]["dice"]["interval"]["low"],
            row["summary"]["dice"]["interval"]["high"],
        )
        for row in document["table"]
        if row["summary"]["dice"]["interval"]
    }
    return render(
        "comparison.html",
        title=f"Comparison of {plural(document['num_runs'], 'run')}",
        document=document,
        verdict=_leader_verdict(document),
        figures=[dice_forest(means)] if means else [],
    )


def _leader_verdict(document: Mapping[str, Any]) -> str:
    """Say which runs the first of the ranking is not shown to be better than."""
    leader = document["table"][0]["name"]
    pairs = [pair for pair in document["pairs"] if pair["first"] == leader]
    close = [pair["second"] for pair in pairs if pair["p_holm"] >= _SIGNIFICANT]
    if not pairs:
        return "No image has a lesion: the Dice is not defined."
    if not close:
        return f"{leader} outlines better than every other run (p < 0.05 after Holm)."
    return f"{leader} has the highest Dice, but is not shown to differ from {', '.join(close)}."


def prediction_page(
    entries: Sequence[PredictionEntry],
    *,
    model: str,
    details: Mapping[str, str],
    failures: Sequence[tuple[str, str]],
    notice: str | None = None,
    guarantees: Mapping[str, str] | None = None,
) -> str:
    """Return the page of a prediction folder.

    Args:
        entries: shown in their order, those with a lesion first. Pictures load when they are
            scrolled to, so that a thousand of them are no burden.
        model: its name.
        details: how the prediction was made, to be read by people.
        failures: file or case, and why it has no result.
        notice: what every reader must know of the model.
        guarantees: what the contours "outer" and "inner" guarantee, a clause each.
    """
    found = [entry for entry in entries if entry.lesions]
    silent = [entry for entry in entries if not entry.lesions]
    noun = "scan" if any(entry.page for entry in entries) else "image"
    return render(
        "prediction.html",
        title=f"Lesions found in {len(found):,} of {plural(len(entries), noun)}",
        notice=notice,
        tiles=[
            {"name": f"{noun}s read", "value": len(entries), "alarming": False},
            {"name": "with a lesion found", "value": len(found), "alarming": False},
            {"name": "without", "value": len(silent), "alarming": False},
            {"name": "failed", "value": len(failures), "alarming": bool(failures)},
        ],
        sections=[
            ("With a lesion", "Each outline is numbered as in its table.", found),
            (
                "Without a lesion",
                "Nothing reached the threshold. That is no proof that there is nothing.",
                silent,
            ),
        ],
        model=model,
        details=details,
        failures=failures,
        told_classes=any(entry.classes for entry in entries),
        guarantees=guarantees or {},
        explained=any(entry.malignancy for entry in entries),
    )


def search_page(document: Mapping[str, Any]) -> str:
    """Return the page of a search.

    Args:
        document: search.json, see workflows.search.
    """
    from breastseg.report import search_figures

    table, names = document["table"], document["parameters"]
    scored = any(row["dice"] is not None for row in table)
    figures = [search_figures.history(table)] if scored else []
    if document["importance"]:
        figures.append(search_figures.importance(document["importance"]))
    wide = [search_figures.parallel_coordinates(names, table)] if scored else []
    return render(
        "search.html",
        title=f"Search: {document['details']['Space'].partition(',')[0]}",
        document=document,
        gap=document["selection_gap"],
        winner=next((row for row in table if row["rank"] == 1), None),
        ranked=[row for row in table if row["rank"]],
        others=[row for row in table if not row["rank"]],
        figures=figures,
        wide_figures=wide,
        short=search_figures.short,
        plain=search_figures.plain,
    )
