# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Learning curves, and why a line on log-log paper lies
#
# **Claim** (after Hestness et al. 2017). Errors fall with the number of examples as a n^(-b) + c. Fitted with all three
# parameters the interval of the exponent covers it as often as it says; the usual straight line through the logarithms,
# which leaves out c, covers it hardly ever.
#
# **What would have falsified it**: coverage of the three-parameter intervals away from 95 %, or a straight line that
# finds the exponent.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.report.learning_curve import fit_learning_curve
from genbounds.worlds import GradientFlow

rng = np.random.default_rng(0)

# %% [markdown]
# ## A curve that is known
#
# a = 3, b = 0.35, c = 0.1, eight sizes, errors with a relative standard error of 2 %.

# %%
a, b, c = 3.0, 0.35, 0.1
sizes = np.geomspace(500, 64_000, 8).round()
truth = a * sizes**-b + c
tries, covered, straight, exponents, slopes = 300, 0, 0, [], []
for _ in range(tries):
    errors = truth * (1 + 0.02 * rng.standard_normal(8))
    fitted = fit_learning_curve(sizes, errors, 0.02 * truth)
    exponents.append(fitted.b.value)
    covered += fitted.b.low <= b <= fitted.b.high
    (slope, _), covariance = np.polyfit(np.log(sizes), np.log(errors), 1, cov=True)
    slopes.append(-slope)
    straight += abs(-slope - b) <= 2.45 * np.sqrt(covariance[0, 0])  # Student's quantile for 6 degrees of freedom
print(
    f"three parameters: b = {np.mean(exponents):.3f} ± {np.std(exponents):.3f}, interval covers {covered / tries:.1%}"
)
print(f"straight line:    b = {np.mean(slopes):.3f} ± {np.std(slopes):.3f}, interval covers {straight / tries:.1%}")
assert abs(covered / tries - 0.95) < 4 * np.sqrt(0.95 * 0.05 / tries)
assert straight / tries < 0.05

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
far = np.geomspace(500, 1e7, 100).round()
left.errorbar(sizes, errors, 2 * 0.02 * truth, fmt="o", label="measured, one of the tries")
left.plot(far, a * far**-b + c, "k", lw=1, label="truth")
left.plot(far, fitted(far), "--", label="three parameters")
left.plot(
    far, np.exp(np.polyval(np.polyfit(np.log(sizes), np.log(errors), 1), np.log(far))), ":", label="straight line"
)
ahead = fitted.predict(1e6)
left.errorbar(
    [1e6], [ahead.value], [[ahead.value - ahead.low], [ahead.high - ahead.value]], fmt="s", label="extrapolated"
)
left.axhline(c, color="0.6", lw=0.8)
left.set(xscale="log", yscale="log", xlabel="examples", ylabel="error", title="the line runs through the floor")
left.legend(fontsize=7)

# %% [markdown]
# ## A curve without an exponent
#
# Least squares with α examples for each weight has the excess error noise / (α - 1), exactly in the limit of many
# weights. Its local exponent is α / (α - 1): no power law, however straight a stretch of it looks. Points are students
# simulated.

# %%
alphas = np.geomspace(1.5, 50, 60)
excess = np.array([GradientFlow(x, 1.0, 0.25).test_error(1e7).item() - 0.25 for x in alphas])
local = -np.gradient(np.log(excess), np.log(alphas))
assert np.allclose(local[1:-1], (alphas / (alphas - 1))[1:-1], rtol=0.02)
some = alphas[::12]
drawn = [[GradientFlow(x, 1.0, 0.25).draw(60, [1e7], rng).test_errors[0] - 0.25 for _ in range(60)] for x in some]
right.plot(alphas, local, label="local exponent of the exact curve")
right.plot(alphas, alphas / (alphas - 1), "k:", label="α / (α - 1)")
right.axhline(1, color="0.6", lw=0.8)
twin = right.twinx()
means, spread = np.mean(drawn, axis=1), np.std(drawn, axis=1) / np.sqrt(60)
twin.errorbar(some, means, 2 * spread, fmt="o", color="tab:red", ms=4)
twin.plot(alphas, excess, color="tab:red", lw=1)
twin.set(yscale="log", ylabel="excess error")
assert (np.abs(means - 0.25 / (some - 1)) < 5 * spread + 0.1 * means).all()
right.set(xscale="log", xlabel="examples for each weight, α", ylabel="exponent", title="least squares")
right.set_xticks([2, 5, 10, 20, 50], [2, 5, 10, 20, 50])
right.set_xticks([], minor=True)
right.legend(fontsize=7)
plt.show()
