"""Speed and soundness of the ground floor: ``python benchmarks/numerics.py``, under a minute on one thread.

"Wrong side" counts results on the unsafe side of the true value, decided by ball arithmetic (python-flint).
"""

import math
import time
from collections.abc import Callable, Iterable

import flint
import numpy as np
from flint import arb
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq, elementwise
from scipy.special import rel_entr
from scipy.stats import binom

from genbounds.numerics import (
    betting_upper,
    binary_kl,
    binomial_upper,
    kl_diagonal,
    kl_lower,
    kl_upper,
    log_binomial_cdf,
    log_xi,
    xi,
)

INPUTS = 100_000
CHECKED = 4000
LAST = 1.0 - 2.0**-53


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the best wall-clock time of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def ball(q: float, p: float) -> arb:
    """Return kl(q, p), 0 < p < 1, to at least forty digits."""
    precision = 200
    while True:
        flint.ctx.prec = precision
        value = arb(0)
        if q > 0:
            value += arb(q) * (arb(q) / arb(p)).log()
        if q < 1:
            value += (1 - arb(q)) * ((1 - arb(q)) / (1 - arb(p))).log()
        if q == p or value.rel_accuracy_bits() > 140:
            return value
        precision *= 2


def proven(q: float, c: float, p: float, upper: bool = True) -> bool:
    """Whether p is at or beyond the inverse, on the safe side."""
    if p == (1.0 if upper else 0.0):
        return True
    return (p >= q if upper else p <= q) and bool(ball(q, p) >= arb(c))


def floats_away(q: float, c: float, p: float, upper: bool = True) -> int:
    """Return how many floats the result could move inward and still be proven."""
    inward, moved = (-math.inf if upper else math.inf), 0
    while True:
        p = math.nextafter(p, inward)
        if not proven(q, c, p, upper):
            return moved
        moved += 1


def scalar_brentq(q: float, c: float) -> float:
    """Invert as a user would: one call, default tolerances."""

    def excess(p: float) -> float:
        return (q * math.log(q / p) if q else 0.0) + (1 - q) * math.log((1 - q) / (1 - p)) - c

    return float(brentq(excess, q, LAST)) if excess(LAST) > 0 else 1.0


def vector_find_root(q: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Invert all inputs at once, default tolerances."""

    def excess(p: np.ndarray, q: np.ndarray, c: np.ndarray) -> np.ndarray:
        return rel_entr(q, p) + rel_entr(1 - q, 1 - p) - c

    result = elementwise.find_root(excess, (q, np.full_like(q, LAST)), args=(q, c))
    return np.where(result.success, result.x, 1.0)


def inversions(console: Console) -> None:
    """Compare `kl_upper` with SciPy's root finders."""
    rng = np.random.default_rng(0)
    q, c = rng.random(INPUTS), 10.0 ** rng.uniform(-6, 1, INPUTS)
    sample = slice(0, CHECKED)
    ours = seconds(lambda: kl_upper(q, c))
    start = time.perf_counter()
    by_call = [scalar_brentq(a, b) for a, b in zip(q[sample].tolist(), c[sample].tolist(), strict=True)]
    per_call = (time.perf_counter() - start) / CHECKED
    together = seconds(lambda: vector_find_root(q, c), repeats=2)

    table = Table(title=f"kl_upper on {INPUTS:,} random inputs (q uniform, c log-uniform in [1e-6, 10])")
    for name in ("method", "seconds", "µs per input", "times slower", f"wrong side of {CHECKED:,}", "worst"):
        table.add_column(name, justify="left" if name == "method" else "right")
    rows = [
        ("genbounds.numerics.kl_upper", ours, kl_upper(q, c)[sample]),
        ("scipy find_root, all at once", together, vector_find_root(q, c)[sample]),
        (f"scipy brentq, {CHECKED:,} calls scaled up", per_call * INPUTS, np.array(by_call)),
    ]
    for name, spent, values in rows:
        wrong = [not proven(*row) for row in zip(q.tolist(), c.tolist(), values.tolist(), strict=False)]
        below = (kl_upper(q[sample], c[sample]) - values)[np.array(wrong)]
        worst = f"{below.max():.1e}" if below.size else "-"
        per_input, slower = f"{spent / INPUTS * 1e6:.2f}", f"{spent / ours:.0f}"
        table.add_row(name, f"{spent:.4f}", per_input, slower, str(sum(wrong)), worst)
    console.print(table)

    q, c = rng.random(10**6), 10.0 ** rng.uniform(-6, 1, 10**6)
    up, down = seconds(lambda: kl_upper(q, c), 3), seconds(lambda: kl_lower(q, c), 3)
    forward = seconds(lambda: binary_kl(q, c / 10), 3)
    console.print(f"10^6 on one thread: kl_upper {up:.2f} s, kl_lower {down:.2f} s, binary_kl {forward:.2f} s\n")


def hard_inputs() -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
    """Yield inputs next to every edge of float64."""
    rng = np.random.default_rng(1)
    n = 400
    uniform, tiny = rng.random(n), 10.0 ** rng.uniform(-323, 0, n)
    yield "q uniform, c in [1e-8, 30]", uniform, 10.0 ** rng.uniform(-8, 1.5, n)
    yield "q uniform, c in [1e-323, 1e-8]", uniform, 10.0 ** rng.uniform(-323, -8, n)
    yield "q uniform, c in [0, 750]", uniform, rng.uniform(0, 750, n)
    yield "q uniform, c up to 1e9", uniform, 10.0 ** rng.uniform(0, 9, n)
    yield "q tiny, c about q", tiny, tiny * 10.0 ** rng.uniform(-3, 3, n)
    yield "q tiny, c next to nothing", tiny, tiny * 10.0 ** rng.uniform(-40, -20, n)
    yield "q and c subnormal", 5e-324 * rng.integers(1, 5000, n), 5e-324 * rng.integers(1, 5000, n)
    yield "q next to 1", 1.0 - 2.0 ** -rng.uniform(1, 53, n), 10.0 ** rng.uniform(-20, 2, n)
    yield "c = kl(q, p) of a float p", uniform, binary_kl(uniform, rng.random(n))
    yield "q = 0", np.zeros(n), 10.0 ** rng.uniform(-323, 2, n)
    yield "q = 1", np.ones(n), 10.0 ** rng.uniform(-323, 2, n)


def soundness(console: Console) -> int:
    """Count results on the wrong side, and how tight the others are."""
    table = Table(title="inverses against ball arithmetic; floats away = floats between the result and the tightest")
    for name in ("inputs", "upper: wrong side", "floats away", "lower: wrong side", "floats away"):
        table.add_column(name, justify="left" if name == "inputs" else "right")
    total = 0
    for label, q, c in hard_inputs():
        cells = [f"{label} ({q.size})"]
        for upper, inverse in ((True, kl_upper), (False, kl_lower)):
            rows = [row for row in zip(q.tolist(), c.tolist(), inverse(q, c).tolist(), strict=True) if row[1] > 0]
            wrong = sum(not proven(*row, upper) for row in rows)
            inner = [row for row in rows if row[2] != row[0]]  # q = 0 and q = 1 have an exact side
            cells += [str(wrong), str(max((floats_away(*row, upper) for row in inner), default=0))]
            total += wrong
        table.add_row(*cells)
    console.print(table)
    return total


def log_tail(k: int, n: int, p: float) -> arb:
    """Return ln P(Bin(n, p) <= k), k below the mean, summed in ball arithmetic."""
    flint.ctx.prec = 300
    odds, term, total = arb(p) / (1 - arb(p)), arb(1), arb(0)
    for j in range(k, -1, -1):
        total += term
        term *= arb(j) / ((n - j + 1) * odds)
        if term < total * arb(2) ** -120:
            break
    log_choose = arb(n + 1).lgamma() - arb(k + 1).lgamma() - arb(n - k + 1).lgamma()
    return log_choose + k * arb(p).log() + (n - k) * (1 - arb(p)).log() + total.log()


def binomial_tails(console: Console) -> int:
    """Show the tail at exp(-6000), and its inverse, beside the truth."""
    table = Table(title="binomial tail far out: ln P(Bin(n, p) <= k), and the p at which it is ln level")
    for name in ("k", "n", "p", "ln P", "relative error", "scipy logcdf", "limit at that level", "provably above"):
        table.add_column(name, justify="right")
    wrong = 0
    for k, n, p in ((6812, 50_000, 0.3532), (3120, 300_000, 0.0108), (10**6, 10**9, 0.0010025)):
        truth, value = log_tail(k, n, p), float(log_binomial_cdf(k, n, p))
        with np.errstate(divide="ignore"):
            theirs = float(binom.logcdf(k, n, p))
        limit = float(binomial_upper(k, n, value))
        safe = bool(log_tail(k, n, limit) <= arb(value))
        wrong += not safe
        error = abs(float(arb(value) / truth - 1))
        cells = (
            f"{k:,}",
            f"{n:,}",
            str(p),
            f"{value:.9f}",
            f"{error:.0e}",
            f"{theirs:.9f}",
            f"{limit:.15f}",
            str(safe),
        )
        table.add_row(*cells)
    console.print(table)
    k = np.random.default_rng(2).integers(0, 30_001, 10_000)
    spent = seconds(lambda: binomial_upper(k, 30_000, math.log(0.025)), 2)
    console.print(f"10^4 limits at n = 30,000, level 0.025: {spent:.2f} s\n")
    return wrong


def monte_carlo(console: Console) -> None:
    """Compare upper limits of a mean from m draws, at confidence 0.99."""
    table = Table(title="upper limit of a mean of .02 from m draws, delta = .01")
    for name in ("m", "values", "kl form", "empirical Bernstein", "betting", "betting / kl"):
        table.add_column(name, justify="left" if name == "values" else "right")
    log = math.log(2 / 0.01)
    for m in (200, 1000, 2000):
        narrow = 0.02 + 1e-3 * np.random.default_rng(m).standard_normal(m)
        for label, values in (("sd 1e-3", narrow), ("Bernoulli", (np.arange(m) < 0.02 * m).astype(float))):
            mean, variance = values.mean(), values.var(ddof=1)
            bernstein = mean + math.sqrt(2 * variance * log / m) + 7 * log / (3 * (m - 1))
            by_kl = float(kl_upper(mean, -math.log(0.01) / m))
            bet = float(betting_upper(values, math.log(0.01)))
            table.add_row(str(m), label, f"{by_kl:.5f}", f"{bernstein:.5f}", f"{bet:.5f}", f"{bet / by_kl:.3f}")
    console.print(table)


def the_rest(console: Console) -> None:
    """Time xi and the diagonal Gaussian relative entropy."""
    spent = seconds(lambda: xi(10**6)) * 1e3
    console.print(f"xi(10^6) = {float(xi(10**6)):.9f}, ln xi = {float(log_xi(10**6)):.9f}: {spent:.2f} ms")
    d = 10**7
    mean, scale = np.zeros(d, np.float32), np.full(d, 0.03 * (1 + 1e-4), np.float32)
    prior = float(np.float32(0.03))
    ratio = scale / np.float32(prior)
    naive = float(np.sum(0.5 * (np.square(ratio) - np.float32(1)) - np.log(ratio)))
    spent = seconds(lambda: kl_diagonal(mean, scale, mean, prior), 2)
    x = float(scale[0]) / prior - 1
    flint.ctx.prec = 200
    truth = float(d * (arb(x) + arb(x) ** 2 / 2 - (1 + arb(x)).log()))
    value = float(kl_diagonal(mean, scale, mean, prior))
    console.print(
        f"kl_diagonal, 10^7 float32 parameters, scale ratio 1 + 1e-4: {spent:.2f} s, "
        f"{value:.12f} (truth {truth:.12f}, float32 arithmetic {naive:.6f})"
    )


def main() -> None:
    """Print every table; fail if a result is on the wrong side."""
    console = Console(width=140)
    start = time.perf_counter()
    inversions(console)
    wrong = soundness(console) + binomial_tails(console)
    monte_carlo(console)
    the_rest(console)
    console.print(f"\nresults on the wrong side: {wrong}; {time.perf_counter() - start:.0f} s in all")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
