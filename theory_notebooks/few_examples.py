# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Learning from few examples: pretraining, augmentation, context
#
# **Claims.** Factors learnt from unlabelled inputs leave a task with as few dimensions as there are factors. Hiding
# coordinates in one block costs less kernel complexity than hiding as many at random. A network that learns in a
# context is as uncertain as ridge regression. Each has a closed form, beside a simulation.
#
# **What would have falsified them**: simulated points away from the curves by more than their error bars.

# %%
import math

import numpy as np
from matplotlib import pyplot as plt

from genbounds.worlds import MaskedCube, bayes_in_context, least_squares_excess

rng = np.random.default_rng(0)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 3.8), layout="constrained")

# %% [markdown]
# ## Unsupervised pretraining (after Ge, Tang, Fan and Jin 2024)
#
# Inputs of 50 dimensions are made of 3 factors and a little noise, and labels depend on the factors. Least squares on
# all inputs costs 50 / (n - 51); on the factors, which unlabelled inputs reveal, 3 / (n - 4), times the noise. Three
# principal components of 2,000 unlabelled inputs do as well. The inputs' own noise leaves each factor a variance of
# v = s^2 / (9 + s^2), which no number of examples removes and which adds to the noise of the labels.

# %%
d, r, noise, tries = 50, 3, 0.25, 200
loading = np.linalg.qr(rng.standard_normal((d, r)))[0] * 3
small = 0.1
hidden = r * small**2 / (9 + small**2)


def inputs(n):
    factors = rng.standard_normal((n, r))
    return factors, factors @ loading.T + small * rng.standard_normal((n, d))


_, unlabelled = inputs(2000)
components = np.linalg.svd(unlabelled, full_matrices=False)[2][:r]
sizes = np.array([60, 80, 120, 200, 400])
results = {"all inputs": [], "three components": []}
for n in sizes:
    for name, reveal in (("all inputs", np.eye(d)), ("three components", components)):
        errors = []
        for _ in range(tries):
            (z, x), w = inputs(n), rng.standard_normal(r)
            y = z @ w + math.sqrt(noise) * rng.standard_normal(n)
            learned = np.linalg.lstsq(x @ reveal.T, y, rcond=None)[0]
            new, fresh = inputs(500)
            errors.append(np.mean((new @ w - fresh @ reveal.T @ learned) ** 2))
        results[name].append((np.mean(errors), np.std(errors) / math.sqrt(tries)))
for (name, points), p, colour in zip(results.items(), (d, r), ("tab:red", "tab:blue"), strict=True):
    mean, error = np.array(points).T
    theory = np.array([hidden + least_squares_excess(p, int(n), noise + hidden) for n in sizes])
    left.plot(sizes, theory, color=colour)
    left.errorbar(sizes, mean, 2 * error, fmt="o", ms=4, color=colour, label=name)
    assert (np.abs(mean - theory) < 5 * error + 0.05 * theory).all(), name  # components are found nearly
left.set(xscale="log", yscale="log", xlabel="labelled examples", ylabel="excess error", title="pretraining")
left.legend(fontsize=8)

# %% [markdown]
# ## Augmentation complexity (Zhai et al. 2024)
#
# Hiding coordinates at random makes a kernel whose complexity is (2 - α)^d, hiding as many in one block 2^((1 - α) d).
# Points: the mean over drawn inputs and augmentations of p(a | x) / p(a), which estimates K(x, x).

# %%
d, shares = 12, np.linspace(0, 1, 13)
for block, colour in ((False, "tab:red"), (True, "tab:blue")):
    worlds = [MaskedCube(d, share, block) for share in shares]
    middle.plot(
        shares, [world.complexity for world in worlds], color=colour, label="one block" if block else "by itself"
    )
    estimates = []
    for world in worlds[::3]:
        shown = np.full(20_000, world.visible) if block else rng.binomial(d, 1 - world.hidden, 20_000)
        ratios = 2.0**shown  # p(a | x) / p(a): a view of k coordinates fits one input of 2^k
        estimates.append((ratios.mean(), ratios.std() / math.sqrt(20_000)))
        assert abs(ratios.mean() - world.complexity) <= 5 * estimates[-1][1] + 1e-9
    mean, error = np.array(estimates).T
    middle.errorbar(shares[::3], mean, 2 * error, fmt="o", ms=4, color=colour)
middle.set(yscale="log", xlabel="share of hidden coordinates, α", title=f"complexity of masking, d = {d}")
middle.legend(fontsize=8)

# %% [markdown]
# ## Uncertainty in a context
#
# The best prediction from n labelled inputs in a context is that of ridge regression, and its variance is known. A
# network that was trained on many contexts is calibrated if its own matches.

# %%
d, noise, tries = 8, 0.25, 20_000
lengths = np.array([1, 2, 4, 8, 16, 32, 64])
stated, seen, bars = [], [], []
for n in lengths:
    w, x = rng.standard_normal((tries, d)), rng.standard_normal((tries, n, d))
    y = np.einsum("td,tnd->tn", w, x) + math.sqrt(noise) * rng.standard_normal((tries, n))
    query = rng.standard_normal((tries, d))
    label = np.sum(w * query, 1) + math.sqrt(noise) * rng.standard_normal(tries)
    mean, variance = bayes_in_context(x, y, query, noise)
    squares = (label - mean) ** 2
    stated.append(variance.mean())
    seen.append(squares.mean())
    bars.append(squares.std() / math.sqrt(tries))
right.plot(lengths, stated, label="stated variance")
right.errorbar(lengths, seen, 2 * np.array(bars), fmt="o", ms=4, label="squared error seen")
right.axhline(noise, color="0.6", lw=0.8, label="noise")
right.set(xscale="log", yscale="log", xlabel="length of the context", title="Bayes in a context")
right.legend(fontsize=8)
assert (np.abs(np.array(seen) - stated) < 5 * np.array(bars)).all()
plt.show()
