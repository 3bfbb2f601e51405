# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Logarithmic distance does not single out a rugged landscape
#
# **Claim** (Hoffer, Hubara and Soudry 2017). Weights move away from their start like the logarithm of time, as a walker
# does in a random potential; so the landscape of a network's loss is like one. The observation is right. The conclusion
# does not follow: a plain quadratic bowl, whose curvatures are spread over many scales, follows the same law.
#
# **What would have falsified the objection**: a distance in the bowl that is visibly no line in ln t where that of the
# random potential is.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.worlds import QuadraticBowl

rng = np.random.default_rng(0)


def explained(x, y):
    """Return the share of the variance of y that a line in x explains."""
    left = y - np.polyval(np.polyfit(x, y, 1), x)
    return 1 - np.var(left) / np.var(y)


# %% [markdown]
# ## In the bowl
#
# Theory is the closed form; points are gradient descent with a fixed step and noisy gradients, the mean of 20 runs with
# two standard errors.

# %%
bowl, times = QuadraticBowl(1.0, 1e-6, 300), np.unique(np.geomspace(3, 1e5, 25).round())
theory = bowl.distance(times)
step, runs = 0.5, 20
w = np.tile(bowl.start, (runs, 1))
moved, at = [], 0
for time in times:
    while at * step < time:
        w -= step * bowl.curvatures * (w + 0.02 * rng.standard_normal(w.shape))
        at += 1
    moved.append(np.linalg.norm(w - bowl.start, axis=1))
moved = np.array(moved)
error = moved.std(1, ddof=1) / np.sqrt(runs)
line, power = explained(np.log(times), theory), explained(np.log(times), np.log(theory))
print(f"in the bowl a line in ln t explains {line:.4%} of the variance, a power law {power:.1%}")
assert line > 0.999 > 0.97 > power

# %% [markdown]
# ## In a random potential
#
# A walker on a line whose steps up and down are given by a potential that is itself a random walk (Sinai 1982). Its
# distance grows like (ln t)^2: here 300 walkers, each in a potential of its own.

# %%
walkers, steps = 300, 60_000
width = 400
slopes = rng.choice([-1.0, 1.0], (walkers, 2 * width + 1)) * 0.7
right_probability = 1 / (1 + np.exp(-slopes))
place = np.full(walkers, width)
checks = np.unique(np.geomspace(10, steps, 20).astype(int))
far = []
for time in range(1, steps + 1):
    up = rng.random(walkers) < right_probability[np.arange(walkers), place]
    place = np.clip(place + 2 * up - 1, 0, 2 * width)
    if time in checks:
        far.append(np.abs(place - width))
far = np.array(far)
spread = far.std(1, ddof=1) / np.sqrt(walkers)
sinai = explained(np.log(checks) ** 2, far.mean(1))
print(f"in the random potential a line in (ln t)^2 explains {sinai:.2%}")
assert sinai > 0.97

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
left.plot(times, theory, label="closed form")
left.errorbar(times, moved.mean(1), 2 * error, fmt="o", ms=3, label="noisy gradient descent")
left.set(xscale="log", xlabel="time", ylabel="distance from the start", title="quadratic bowl")
left.legend()
right.errorbar(np.log(checks) ** 2, far.mean(1), 2 * spread, fmt="o", ms=3)
fit = np.polyfit(np.log(checks) ** 2, far.mean(1), 1)
right.plot(np.log(checks) ** 2, np.polyval(fit, np.log(checks) ** 2))
right.set(xlabel="(ln t)²", ylabel="distance from the start", title="random potential on a line")
plt.show()
