"""The bound-versus-error curve: certified bounds and measured errors of a set of certificates on one axis."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from genbounds.certificates import Certificate, Estimate
from genbounds.report.learning_curve import LearningCurve, fit_learning_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Point", "draw_curve", "fit_points", "numbers", "points", "save_figure"]

_AXIS_LABELS = {
    "n": "examples the bound rests on, n",
    "examples": "examples in all",
    "kl": "KL(Q ‖ P) in nats",
    "epochs": "epochs of training",
    "label_noise": "part of the labels replaced at random",
}
# Okabe and Ito's palette: told apart with any colour vision; markers and dashes tell them apart in grey.
_BLUE, _VERMILLION, _GREEN, _PURPLE, _GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#595959"


@dataclass(frozen=True, slots=True)
class Point:
    """What one certificate puts on the curve.

    Attributes
    ----------
    x : float
        Value of the chosen key.
    bound : float
        Certified bound of the headline claim.
    delta : float
        Probability with which the certificate may fail, every part counted.
    test : Estimate or None
        Measured test error.
    holdout : float or None
        Bound that holding data out would have given at equal confidence.
    unchanged : float or None
        Bound of the prior itself (Q = P).
    """

    x: float
    bound: float
    delta: float
    test: Estimate | None
    holdout: float | None
    unchanged: float | None


def numbers(certificate: Certificate) -> dict[str, float]:
    """Return every number of a certificate that can be an axis.

    Parameters
    ----------
    certificate : Certificate
        The certificate.

    Returns
    -------
    dict of str to float
        The numbers of its summary under their own names, and every number of its file under a dotted key, such as
        ``posterior.kl``; entries of lists go by their id, as in ``estimates.test error.value``.
    """
    return dict(_leaves(certificate.to_json())) | dict(_leaves(certificate.summary()))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, Mapping) and "id" in item:
                yield from _leaves(item, f"{path}.{item['id']}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def _number(certificate: Certificate, key: str) -> float:
    known = numbers(certificate)
    # A last part, such as `epochs` for `posterior.epochs`, is enough where it is the only one.
    found = [key] if key in known else [path for path in known if path.endswith(f".{key}")]
    if len(found) == 1:
        return known[found[0]]
    near = found or difflib.get_close_matches(key, known, n=4, cutoff=0.4) or sorted(known, key=len)[:6]
    raise ValueError(
        f"key must be one number in every certificate, got {key!r}, which is {'several' if found else 'none'} in one. "
        f"Try {' or '.join(near)}."
    )


def points(certificates: Sequence[Certificate], key: str = "n", at: Sequence[float] | None = None) -> list[Point]:
    """Return what a set of certificates puts on the curve, sorted by the chosen key.

    Parameters
    ----------
    certificates : sequence of Certificate
        The certificates.
    key : str
        A key of `numbers`, such as ``n`` or ``prior.scale.value``, or the last part of one where only one has it.
    at : sequence of float, optional
        Positions in place of the key, one for each certificate: for what a certificate does not hold, such as label
        noise.

    Returns
    -------
    list of Point
        One for each certificate.

    Raises
    ------
    ValueError
        If there is no certificate, the key is not one number in one of them, or there is not one position for each.
    """
    if not certificates:
        raise ValueError("certificates must be at least one, got none. Name the certificate files to draw.")
    positions = [_number(certificate, key) for certificate in certificates] if at is None else list(at)
    if len(positions) != len(certificates):
        raise ValueError(
            f"at must be one position for each of the {len(certificates)} certificates, got {len(positions)}. "
            "Name them in the order of the certificates."
        )
    found = []
    for x, certificate in zip(positions, certificates, strict=True):
        beside = {comparison.id: comparison.value for comparison in certificate.comparisons}
        measured = {estimate.id: estimate for estimate in certificate.estimates}
        found.append(
            Point(
                x=x,
                bound=certificate.value,
                delta=certificate.ledger.delta,
                test=measured.get("test error"),
                holdout=beside.get("holdout"),
                unchanged=beside.get("posterior = prior"),
            )
        )
    return sorted(found, key=lambda point: point.x)


def fit_points(drawn: Sequence[Point], level: float = 0.95) -> LearningCurve:
    """Fit the three-parameter learning curve to the measured test errors of a curve over n.

    Parameters
    ----------
    drawn : sequence of Point
        Points over the number of training examples.
    level : float
        Confidence of the fit's intervals.

    Returns
    -------
    LearningCurve
        An estimate and an extrapolation, never a bound.

    Raises
    ------
    ValueError
        If fewer than four different sizes have a measured test error.
    """
    measured = [(point.x, point.test) for point in drawn if point.test is not None]
    # An exact interval is never empty, so its width stands in for a standard error even where no error was seen.
    deviations = [
        (test.interval[1] - test.interval[0]) / (2 * NormalDist().inv_cdf((1 + test.level) / 2)) for _, test in measured
    ]
    return fit_learning_curve([x for x, _ in measured], [test.value for _, test in measured], deviations, level)


def _wide(values: Sequence[float], ratio: float) -> bool:
    return min(values) > 0 and max(values) >= ratio * min(values)


def draw_curve(
    drawn: Sequence[Point],
    axes: "Axes | None" = None,
    *,
    key: str = "n",
    x_label: str | None = None,
    log_x: bool | None = None,
    log_y: bool | None = None,
    chance: float | None = None,
    show_prior: bool = False,
    fit: LearningCurve | None = None,
) -> "Axes":
    """Draw certified bounds and measured errors.

    Parameters
    ----------
    drawn : sequence of Point
        What `points` returned.
    axes : matplotlib Axes, optional
        Where to draw; a new figure if left out. No window is opened and no global setting is changed.
    key : str
        Key the points were made with, for the label of the x axis.
    x_label : str, optional
        Label of the x axis in place of the key's own.
    log_x, log_y : bool, optional
        Logarithmic axes. By default x where it is positive and spans a factor of 8, y where the smallest bound or
        error is below a twelfth of the vacuous line.
    chance : float, optional
        Error of guessing, drawn as a line.
    show_prior : bool
        Draw the bound of the prior itself (Q = P) too: what lies between the two is what the posterior bought.
    fit : LearningCurve, optional
        Drawn through the measured errors with its interval, labelled as an extrapolation.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if axes is None:
        axes = Figure(figsize=(6.8, 4.4), layout="constrained").add_subplot()
    bounds = [(point.x, point.bound) for point in drawn]
    holdouts = [(point.x, point.holdout) for point in drawn if point.holdout is not None]
    tests = [(point.x, point.test) for point in drawn if point.test is not None]
    unchanged = [(point.x, point.unchanged) for point in drawn if point.unchanged is not None] if show_prior else []

    heights = [y for _, y in (*bounds, *holdouts, *unchanged)] + [test.value for _, test in tests if test.value > 0]
    log_x = _wide([point.x for point in drawn], 8) if log_x is None else log_x
    log_y = _wide([*heights, 1.0], 12) if log_y is None else log_y
    lows = [test.interval[0] for _, test in tests if test.interval[0] > 0]
    floor = 0.6 * min([*heights, *lows]) if log_y else 0.0

    _draw_level(axes, 1.0, "vacuous: says nothing from here on up", "-")
    if chance is not None:
        _draw_level(axes, chance, f"guessing: {chance:.3g}", (0, (1, 2)))
    delta = max(point.delta for point in drawn)
    each = "each with " if len(drawn) > 1 else ""
    blue = {"color": _BLUE, "marker": "o", "linewidth": 2.0, "markersize": 6}
    green = {"color": _GREEN, "marker": "s", "linestyle": "--", "linewidth": 1.4, "markersize": 5}
    purple = {"color": _PURPLE, "marker": "^", "linestyle": ":", "linewidth": 1.4, "markersize": 5}
    _draw_series(axes, bounds, f"certified bound ({each}prob. ≥ {1 - delta:.6g})", blue)
    _draw_tests(axes, tests, floor, joined=fit is None)
    _draw_series(axes, holdouts, "bound from held-out data, equal prob.", green)
    _draw_series(axes, unchanged, "bound of the prior itself (Q = P)", purple)
    if fit is not None:
        _draw_fit(axes, fit)

    ticks = sorted({point.x for point in drawn})
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if len(ticks) <= 8:
        axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    if log_y:
        axes.set_yscale("log")
        axes.set_ylim(floor, 1.6)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_ylim(0.0, 1.08 * max([1.0, *heights]))
    axes.set_xlabel(x_label or _AXIS_LABELS.get(key.rpartition(".")[2], key))
    axes.set_ylabel("error rate")
    axes.grid(visible=True, which="major", color="#D9D9D9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        fontsize=8,
        frameon=False,
        ncols=2,
        columnspacing=1.2,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.01),
        borderaxespad=0.0,
    )
    return axes


def _draw_level(axes: "Axes", height: float, text: str, dashes: Any) -> None:
    axes.axhline(height, color=_GREY, linewidth=1.1, linestyle=dashes)
    side = 3 if height >= 1 else -3
    axes.annotate(
        text,
        (0.01, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, side),
        textcoords="offset points",
        verticalalignment="bottom" if side > 0 else "top",
        color=_GREY,
        fontsize=8,
    )


def _draw_series(axes: "Axes", pairs: list[tuple[float, float]], label: str, style: Mapping[str, Any]) -> None:
    """Draw a line through the mean at each x, and every value behind it where several certificates share an x."""
    if not pairs:
        return
    groups: dict[float, list[float]] = {}
    for x, y in pairs:
        groups.setdefault(x, []).append(y)
    axes.plot(list(groups), [float(np.mean(values)) for values in groups.values()], label=label, **style)
    if len(groups) < len(pairs):
        axes.plot(*zip(*pairs, strict=True), marker=style["marker"], linestyle="none", color=style["color"], alpha=0.35)


def _draw_tests(axes: "Axes", tests: list[tuple[float, Estimate]], floor: float, *, joined: bool) -> None:
    if not tests:
        return
    axes.vlines(
        [x for x, _ in tests],
        [max(test.interval[0], floor) for _, test in tests],
        [test.interval[1] for _, test in tests],
        color=_VERMILLION,
        linewidth=1.6,
    )
    style = {"color": _VERMILLION, "marker": "D", "linestyle": "-" if joined else "", "linewidth": 1.0, "markersize": 5}
    # No error seen: on a logarithmic axis the mark sits on the floor, at the foot of its interval.
    seen = [(x, max(test.value, floor)) for x, test in tests]
    _draw_series(axes, seen, f"measured test error ({tests[0][1].level:.0%} interval)", style)


def _draw_fit(axes: "Axes", fit: LearningCurve) -> None:
    sizes = np.geomspace(fit.sizes.min(), fit.sizes.max(), 60)
    bands = [fit.predict(round(size)) for size in sizes]
    label = f"fit a n^(−b) + c, b = {fit.b.value:.2f}; no bound"
    axes.plot(sizes, [band.value for band in bands], color="black", linewidth=1.0, linestyle="-.", label=label)
    axes.fill_between(
        sizes, [band.low for band in bands], [band.high for band in bands], color="black", alpha=0.12, linewidth=0
    )


def save_figure(axes: "Axes", stem: Path | str) -> tuple[Path, Path]:
    """Write a figure as PNG and as SVG; the same figure gives the same bytes.

    Parameters
    ----------
    axes : matplotlib Axes
        Drawn axes.
    stem : path
        Path without its ending.

    Returns
    -------
    tuple of Path
        The PNG and the SVG file.

    Raises
    ------
    ValueError
        If the axes were removed from their figure.
    """
    import matplotlib as mpl

    png, svg = Path(f"{stem}.png"), Path(f"{stem}.svg")
    png.parent.mkdir(parents=True, exist_ok=True)
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must belong to a figure, got axes that were removed. Draw the curve again.")
    figure.savefig(png, dpi=160, metadata={"Software": None})
    with mpl.rc_context({"svg.hashsalt": "genbounds"}):
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg
