"""Whether a data set holds simulated lesions, which tell nothing of patients."""

import json
from pathlib import Path
from typing import Any

_SAYS_SO = "simulated"
_TRUTHS = "truth/*/truth.json"


def says_simulated(root: Path) -> bool:
    """Whether the files of a data set say that its lesions are simulated.

    As `breastseg phantom ct` writes them: the description in dataset.json, the note beside the
    truth of a case, or phantoms.json. Copies of the scans alone say nothing.
    """
    if (root / "phantoms.json").is_file():
        return True
    described = [_read(root / "dataset.json").get("description")]
    described += [_read(path).get("note") for path in sorted(root.glob(_TRUTHS))[:1]]
    return any(isinstance(text, str) and _SAYS_SO in text.lower() for text in described)


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
