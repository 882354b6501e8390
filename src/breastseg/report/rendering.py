"""Templates, numbers in words, and pictures within a page: what all pages share.

The pages need no script, no font and no network. Everything that is put into them is escaped.
"""

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from breastseg import __version__
from breastseg.core.errors import InputError
from breastseg.core.lesion import Lesion


def render(template: str, **content: Any) -> str:
    """Return a page, from a template of the folder beside this module."""
    return _environment().get_template(template).render(version=__version__, **content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("breastseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        fixed=fixed,
        percent=percent,
        signed=signed,
        p_value=p_value,
        plural=plural,
        area=_area,
        long_axis=_long_axis,
    )
    return environment


def require_local(case_id: str, url: str) -> None:
    """Refuse a picture that would be fetched from elsewhere.

    Raises:
        InputError: the URL is neither a relative path nor a data URI of a picture.
    """
    parts = urlsplit(url)
    if url.startswith("data:image/") or (url and not (parts.scheme or parts.netloc)):
        return
    raise InputError(
        f"case '{case_id}': a picture must be a relative path or a data:image URI, got "
        f"'{url[:60]}'. Encode paths with urllib.parse.quote()."
    )


def data_uri(picture: bytes, kind: str = "png") -> str:
    """Return a picture file, PNG or another kind such as jpeg, as a URL that holds it."""
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")


def fixed(value: float, digits: int = 3) -> str:
    """Return a number with that many digits after the point."""
    return f"{value:.{digits}f}"


def percent(value: float) -> str:
    """Return a share as per cent; what is small keeps a digit."""
    return f"{100 * value:.{0 if value >= 0.1 or value == 0 else 1}f} %"


def signed(value: float) -> str:
    """Return a number with its sign."""
    return f"{value:+.3f}"


def between(interval: Mapping[str, float], form: str = ".3f") -> str:
    """Return the ends of an interval, in words."""
    return f"{interval['low']:{form}} to {interval['high']:{form}}"


def estimate(measured: Mapping[str, Any], digits: int, *, interval: bool = False) -> str:
    """Return a figure of a scorecard with its unit, and with its interval where there is one.

    >>> estimate({"value": 0.8, "interval": {"low": 0.75, "high": 0.85}}, 2, interval=True)
    '0.80 [0.75, 0.85]'
    """
    if measured["value"] is None:
        return "-"
    text = f"{measured['value']:.{digits}f}"
    text += f" {measured['unit']}" if measured.get("unit") else ""
    if interval and measured["interval"]:
        span = measured["interval"]
        text += f" [{span['low']:.{digits}f}, {span['high']:.{digits}f}]"
    return text


def p_value(value: float) -> str:
    """Return a p-value as it is printed; a small one is not spelt out."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _area(lesion: Lesion) -> str:
    if lesion.area_mm2 is None:
        return f"{lesion.area_px:,} px"
    return f"{lesion.area_mm2:,.1f} mm\N{SUPERSCRIPT TWO}"


def _long_axis(lesion: Lesion) -> str:
    if lesion.long_axis_mm is None:
        return f"{lesion.long_axis_px:,.0f} px"
    return f"{lesion.long_axis_mm:,.1f} mm"
