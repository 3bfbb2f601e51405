# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Benign overfitting and grokking on XOR clusters
#
# **Claim** (Xu, Wang, Frei, Vardi and Hu 2024). Four clusters are labelled by exclusive or, and some labels are wrong.
# One step of gradient descent fits all training labels, the wrong ones too, by a function that is nearly odd, and every
# odd function errs on half of new points. Some steps later the network classifies nearly as well as can be, while the
# wrong labels stay fitted.
#
# **What would have falsified it**: a test error away from 1/2 after one step, or wrong labels given up while the
# network learns. And each prediction can be taken away, as the last panel shows.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.worlds import XorClusters

world = XorClusters(dimension=4000, signal=12.0, flip=0.05)
steps = [0, 1, 2, 4, 8, 16, 32, 64, 128]
common = {"width": 100, "step_size": 0.01, "balanced": True, "test_points": 2000}
seen = [world.train(np.random.default_rng(seed), 160, steps=steps, initial_scale=1e-8, **common) for seed in range(4)]


def mean(name):
    """Return mean and standard error over the trainings."""
    values = np.array([getattr(each, name) for each in seen], dtype=float)
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(seen))


# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 3.8), layout="constrained")
at = np.array(steps) + 0.5
for name, label in (("train_error", "training error"), ("noisy_fitted", "wrong labels that are fitted")):
    value, error = mean(name)
    left.errorbar(at, value, 2 * error, fmt="o-", ms=3, label=label)
value, error = mean("test_error")
left.errorbar(at, value, 2 * error, fmt="o-", ms=3, label="test error")
left.axhline(0.5, color="0.7", lw=0.8)
left.axhline(world.bayes_error, color="k", lw=0.8, ls="--", label="the best rule")
left.set(xscale="log", xlabel="steps + 1/2", title="memorised at once, understood later")
left.legend(fontsize=7)
assert mean("train_error")[0][1] < 0.01
assert mean("noisy_fitted")[0][1:].min() > 0.9
assert abs(value[1] - 0.5) < 0.15
assert value[-1] < 0.05

# %% [markdown]
# The share of the function that is odd: all of what one step learns, hardly anything of what is learned later.

# %%
share, error = mean("odd_share")
middle.errorbar(at, share, 2 * error, fmt="o-", ms=3)
middle.set(xscale="log", xlabel="steps + 1/2", title="share of the function that is odd", ylim=(0, 1.05))
assert share[1] > 0.8
assert share[-1] < 0.3

# %% [markdown]
# ## What takes it away
#
# A weak signal leaves the test error near 1/2 however long one trains; large initial weights fit nothing in one step.

# %%
weak = XorClusters(dimension=4000, signal=4.0, flip=0.05)
cases = {
    "as above": (world, 1e-8),
    "weak signal": (weak, 1e-8),
    "large initial weights": (world, 0.02),
}
for name, (problem, scale) in cases.items():
    run = problem.train(np.random.default_rng(0), 160, steps=steps, initial_scale=scale, **common)
    low, high = run.test_interval()
    reach = np.array([run.test_error - low, high - run.test_error])
    right.errorbar(at, run.test_error, reach, fmt="o-", ms=3, label=name)
    fit, end = run.train_error[1], run.test_error[-1]
    print(f"{name:22} training error after one step {fit:.2f}, test error at the end {end:.3f}")
right.set(xscale="log", xlabel="steps + 1/2", title="test error")
right.legend(fontsize=7)
plt.show()
