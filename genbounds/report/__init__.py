"""What a certificate looks like: tables for a terminal, a page of HTML, a curve, a learning-curve fit.

Names are imported when first used, so that printing a table does not load what fits a curve.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbounds.report.coherence import coherence_text, draw_coherence
    from genbounds.report.coherence_series import coherence_series_text, draw_coherence_series
    from genbounds.report.curve import Point, draw_curve, fit_points, points, save_figure
    from genbounds.report.family import draw_growth, family_text
    from genbounds.report.html import certificate_html
    from genbounds.report.layers import draw_layers, layers_text
    from genbounds.report.learning_curve import Interval, LearningCurve, fit_learning_curve
    from genbounds.report.measurement_page import measurement_html
    from genbounds.report.text import certificate_text, curve_table, verdict_text, verification_text
    from genbounds.report.theorem_pages import theorem_page, theorem_table
    from genbounds.report.validation import validation_text

__all__ = [
    "Interval",
    "LearningCurve",
    "Point",
    "certificate_html",
    "certificate_text",
    "coherence_series_text",
    "coherence_text",
    "curve_table",
    "draw_coherence",
    "draw_coherence_series",
    "draw_curve",
    "draw_growth",
    "draw_layers",
    "family_text",
    "fit_learning_curve",
    "fit_points",
    "layers_text",
    "measurement_html",
    "points",
    "save_figure",
    "theorem_page",
    "theorem_table",
    "validation_text",
    "verdict_text",
    "verification_text",
]

_MODULES = {
    "coherence": ("coherence_text", "draw_coherence"),
    "coherence_series": ("coherence_series_text", "draw_coherence_series"),
    "curve": ("Point", "draw_curve", "fit_points", "points", "save_figure"),
    "family": ("draw_growth", "family_text"),
    "html": ("certificate_html",),
    "layers": ("draw_layers", "layers_text"),
    "learning_curve": ("Interval", "LearningCurve", "fit_learning_curve"),
    "measurement_page": ("measurement_html",),
    "text": ("certificate_text", "curve_table", "verdict_text", "verification_text"),
    "theorem_pages": ("theorem_page", "theorem_table"),
    "validation": ("validation_text",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"genbounds.report.{module}"), name)
    raise AttributeError(f"module 'genbounds.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
