"""``genbounds rank``."""

from json import dumps
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genbounds.cli.console import Flag

__all__ = ["rank"]

_MANY = {"consume_multiple": True, "negative": "", "show_default": False}


def rank(
    runs: Path,
    /,
    *,
    measures: Annotated[tuple[str, ...], Parameter(**_MANY)],
    axes: Annotated[tuple[str, ...], Parameter(**_MANY)],
    gap: str = "gap",
    size: str = "",
    training_loss: str = "",
    repeats: str = "",
    test_examples: int | None = None,
    bounds: Annotated[tuple[str, ...], Parameter(**_MANY)] = (),
    test_error: str = "",
    out: Path = Path("rank"),
    seed: int = 0,
    permutations: int = 99,
    draws: int = 999,
    level: float = 0.95,
    json: Flag = False,
) -> int:
    """Say which measures follow the gap over a table of trained networks, with intervals, nulls and controls.

    The folder gets ranking.json, a figure of the coefficients by axis and report.html, a page with both. It is no bound
    and no promise for networks of another kind.

    Parameters
    ----------
    runs : Path
        CSV file with a head line and a line for each trained network.
    measures : tuple of str
        Columns of measures. A missing or infinite value is an error: leave the run out yourself, and say so.
    axes : tuple of str
        Columns of all hyper-parameters that were varied. Two runs with the same are refused: name the seed
        too, and as `repeats`.
    gap : str
        Column of what is to be predicted, such as test error minus training error.
    size : str
        That one of the axes that is the number of training examples: dividing by it alone earns a share of Psi, which
        is therefore shown without it too.
    training_loss : str
        Column of the training loss, to be shown as a control.
    repeats : str
        That one of the axes that numbers trainings of one configuration, such as the seed: coefficients are then of
        averages over it, and sign errors between configurations are shown if there are repeats enough.
    test_examples : int
        Number of examples behind each test error, if the gap is a difference of error rates: sign errors then count
        pairs of runs by how far their order is beyond the noise of the test set.
    bounds : tuple of str
        Columns that claim to bound the error of each network: a figure shows them over the test errors, with the bound
        that the test examples give. Needs --test-error and --test-examples.
    test_error : str
        Column of the test error.
    out : Path
        Folder to write to.
    seed : int
        Seed of everything drawn.
    permutations : int
        Shuffled measures for each null.
    draws : int
        Bootstrap samples for each interval.
    level : float
        Nominal confidence of the intervals.
    json : bool
        Print the ranking as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    ValueError
        If bounds come without the test errors.
    """
    from genbounds.cli.app import OK
    from genbounds.cli.console import show, show_json
    from genbounds.measures.predictiveness.ranking import rank_measures, read_runs
    from genbounds.report.bounds import draw_bounds
    from genbounds.report.measurement_page import measurement_html
    from genbounds.report.ranking import draw_ranking, ranking_text, ranking_verdict

    if bounds and not (test_error and test_examples):
        raise ValueError("bounds must come with the test errors, got none. Name --test-error and --test-examples.")
    table = read_runs(runs)
    missing = [name for name in (*bounds, *([test_error] if test_error else [])) if name not in table]
    if missing:
        raise ValueError(f"runs must hold a column {missing[0]!r}, got {', '.join(table)}. Check its name.")
    ranking = rank_measures(
        table,
        gap,
        measures,
        axes,
        size=size,
        training_loss=training_loss,
        repeats=repeats,
        test_examples=test_examples,
        seed=seed,
        permutations=permutations,
        draws=draws,
        level=level,
    )
    out.mkdir(parents=True, exist_ok=True)
    content = ranking.to_json()
    text = dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (out / "ranking.json").write_text(text + "\n", encoding="utf-8")
    figures = {"ranking": draw_ranking(ranking)}
    if bounds and test_examples is not None:
        named = {name: [float(value) for value in table[name]] for name in bounds}
        figures["bounds"] = draw_bounds([float(value) for value in table[test_error]], named, test_examples)
    for name, figure in figures.items():
        for ending in ("png", "svg"):
            figure.savefig(out / f"{name}.{ending}", dpi=160)
    titles = {"ranking": "Ψ along each axis", "bounds": "Bounds against test errors"}
    page = measurement_html(
        f"Which measures follow {gap}?",
        shown := ranking_text(ranking),
        figures={titles[name]: (out / f"{name}.svg").read_text(encoding="utf-8") for name in figures},
        facts={"runs": runs.name, "gap": gap, "axes": ", ".join(axes), "seed": seed},
        finding=ranking_verdict(ranking),
    )
    (out / "report.html").write_text(page, encoding="utf-8")
    if json:
        show_json(content)
    else:
        files = ", ".join(f"{name}.png, {name}.svg" for name in figures)
        show(shown, f"\nWritten to {out}: ranking.json, {files}, report.html")
    return OK
