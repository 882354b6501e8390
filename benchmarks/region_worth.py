"""What the breast region is worth: FROC and time of a run with and without it.

    python benchmarks/region_worth.py RUN DATA [--split test] [--threads 1]

Scores the run twice, `--region breasts` and `--region scan`, into folders beside each other.
"""

import argparse
from pathlib import Path
from typing import Any

from breastseg.workflows.evaluate import evaluate

REGIONS = ("breasts", "scan")


def figure(part: dict[str, Any], digits: int = 2) -> str:
    """Return a figure with its interval."""
    if part["value"] is None:
        return "-"
    span = part["interval"]
    told = f" [{span['low']:.{digits}f}, {span['high']:.{digits}f}]" if span else ""
    return f"{part['value']:.{digits}f}{told}"


def rows(document: dict[str, Any]) -> dict[str, str]:
    """Return what is compared, by name."""
    found, volumes = document["detection"], document["volumes"]
    shown = found["at_threshold"]
    return {
        **{
            f"sensitivity at {point['false_positives_per_image']:g} per volume": figure(
                point["sensitivity"]
            )
            for point in found["froc"]["points"]
        },
        "10 mm and more, at 1 per volume": figure(volumes["large"]),
        "sensitivity at the threshold": figure(shown["lesion_sensitivity"]),
        "false positives per volume": figure(shown["false_positives_per_image"]),
        "... without a lesion": figure(volumes["false_positives_per_lesion_free"]),
        "seconds per volume": document["details"]["Seconds per volume"].split(",")[0],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", type=Path, default=Path("region-worth"))
    given = parser.parse_args()
    columns = [
        rows(
            evaluate(
                given.run,
                given.data,
                split=given.split,
                threads=given.threads,
                region=region,
                output=given.output / region,
                allow_leakage=given.split != "test",
            ).document
        )
        for region in REGIONS
    ]
    print(f"{'':34}" + "".join(f"{region:>36}" for region in REGIONS))
    for name in columns[0]:
        print(f"{name:34}" + "".join(f"{column[name]:>36}" for column in columns))


if __name__ == "__main__":
    main()
