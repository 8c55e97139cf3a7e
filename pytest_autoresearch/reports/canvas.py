"""Where charts are drawn: an own figure for each, and a file that depends on nothing but what is drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import replace_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours (2008), which the colour-blind can tell apart; green and blue a shade darker for print.
GREEN, RED, GREY, BLUE = "#00895f", "#d55e00", "#73777f", "#0063a3"
CYCLE = (BLUE, RED, GREEN, "#cc79a7", "#8a6d00", "#3a9bd9")
_STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 11,
    "grid.alpha": 0.25,
    "svg.fonttype": "path",
    "svg.hashsalt": "pytest-autoresearch",
}
_SUFFIXES = (".png", ".svg")
_DPI = 150


@contextmanager
def canvas(path: Path, width: float = 9, height: float = 4.8) -> Iterator[Figure]:
    """A figure of so many inches that is written to `path`, as a whole or not at all, when it has been drawn.

    UserError for another suffix than .png and .svg, and without matplotlib.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{path}: a chart is a .png or an .svg; give the file one of these endings")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(
            "charts are drawn by matplotlib, which is not installed: pip install 'pytest-autoresearch[report]'"
        ) from None
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        mpl.rcdefaults()  # the user's own style is for the user's own charts
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        yield figure
        _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    kind, drawn = path.suffix.lower()[1:], io.BytesIO()
    figure.savefig(drawn, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    try:
        replace_bytes(path, drawn.getvalue())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def name_axes(axes: Axes, across: str, up: str) -> None:
    """Name the axes in words that nobody has set: they are text and no formula."""
    axes.set_xlabel(across, parse_math=False)
    axes.set_ylabel(up, parse_math=False)
