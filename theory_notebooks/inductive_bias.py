# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # How much must be known beforehand: information of hypotheses that generalise
#
# **Claim** (after Boopathy et al. 2023, 2024). Of the hypotheses that fit the training data, a share e^(-I) also does
# well on the test data. For Gaussian linear hypotheses I is known exactly, far deeper than counting sees. It grows in
# proportion to the dimension of what is left open, and is larger for labels at random than for real ones.
#
# **What would have falsified it**: counts outside of their error bars around the exact curve; information that does not
# grow in proportion to the dimension; random labels that take less of it than real ones.

# %%
import os
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

from genbounds.inductive_bias import cap_information, kernel_hypotheses, linear_hypotheses, network_kernel
from genbounds.models.idx import read_part

rng = np.random.default_rng(0)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")

# %% [markdown]
# ## Exact, beside counting
#
# 30 random linear functions of 12 inputs, conditioned on 6 examples, asked about 20 others. Points count 200,000 draws
# of functions that fit, with two standard errors; the curve needs none.

# %%
inputs = rng.standard_normal((26, 12))
targets = inputs @ rng.standard_normal(12)
given = np.arange(6)
space = linear_hypotheses(inputs, targets, given=given)
levels = space.mean_loss * np.geomspace(1e-4, 1, 60)
left.plot(levels, space.information(levels).nats, label="exact")

known = inputs[given]
shortest = np.linalg.lstsq(known, targets[given], rcond=None)[0]
free = np.eye(12) - np.linalg.pinv(known) @ known
weights = shortest + rng.standard_normal((200_000, 12)) @ free
losses = np.square(weights @ inputs[6:].T - targets[6:]).mean(1)
seen = space.mean_loss * np.geomspace(0.02, 1, 8)
shares = np.array([(losses <= level).mean() for level in seen])
errors = np.sqrt((1 - shares) / (shares * len(losses)))
exact = space.information(seen).nats
left.errorbar(seen, -np.log(shares), 2 * errors, fmt="o", ms=4, label="counted among 200,000")
left.set(xscale="log", yscale="log", xlabel="test loss", ylabel="nats", title="linear functions that fit 6 examples")
left.legend(fontsize=8)
enough = shares * len(losses) > 50
deepest = space.information(levels[:1]).nats[0]
print(f"deepest count {-np.log(shares[shares > 0].min()):.1f} nats, exact down to {deepest:.0f}")
assert (np.abs(-np.log(shares) - exact) < 5 * errors)[enough].all()

# %% [markdown]
# ## In proportion to the dimension
#
# A random linear classifier of d inputs agrees with its teacher on all but a share e of them with probability
# e^(-I): the share of a spherical cap. Points are drawn classifiers; slopes approach -ln sin(π e).

# %%
dimensions = np.array([2, 4, 8, 16, 32, 64, 128, 256])
for error, colour in ((0.1, "tab:blue"), (0.25, "tab:orange"), (0.4, "tab:green")):
    nats = cap_information(error, dimensions)
    middle.plot(dimensions, nats, color=colour, label=f"error {error}")
    for d in dimensions[nats < 8]:
        drawn = rng.standard_normal((100_000, d))
        disagree = np.arccos(np.clip(drawn[:, 0] / np.linalg.norm(drawn, axis=1), -1, 1)) / np.pi
        share = (disagree <= error).mean()
        bar = np.sqrt((1 - share) / (share * len(drawn)))
        middle.errorbar(d, -np.log(share), 2 * bar, fmt="o", ms=4, color=colour)
        assert abs(-np.log(share) - cap_information(error, d)) < 5 * bar
    slope = (nats[-1] - nats[-2]) / (dimensions[-1] - dimensions[-2])
    print(f"error {error}: {slope:.4f} nats for each dimension, -ln sin(pi e) = {-np.log(np.sin(np.pi * error)):.4f}")
    assert abs(slope + np.log(np.sin(np.pi * error))) < 0.005
middle.set(xscale="log", yscale="log", xlabel="dimension", ylabel="nats", title="linear classifiers, 0-1 loss")
middle.legend(fontsize=8)

# %% [markdown]
# ## Real labels and labels at random
#
# Infinitely wide ReLU networks that fit 300 images, asked about 100 others; targets are one-hot labels minus 0.1.
# With `GENBOUNDS_DATA` naming a folder that holds `mnist` and `fashion-mnist` in IDX form these are drawn too: there
# MNIST took more than Fashion-MNIST at every loss, in this space and with so few examples.


# %%
def curve(images, labels, levels):
    """Information of networks that fit the first 300, over the mean square error on the other 100."""
    flat = images.reshape(len(images), -1)
    flat /= np.sqrt(np.square(flat).mean())
    outputs = np.eye(10)[labels] - 0.1
    networks = kernel_hypotheses(network_kernel(flat, depth=3), outputs, given=np.arange(300))
    return networks.information(levels).nats


digits = load_digits()
chosen = rng.permutation(len(digits.data))[:400]
sets = {"digits": (digits.data[chosen], digits.target[chosen])}
if folder := os.environ.get("GENBOUNDS_DATA"):
    for name in ("mnist", "fashion-mnist"):
        images, labels = read_part(Path(folder) / name, "train")
        sets[name] = np.array(images[:400], dtype=float), np.array(labels[:400])
levels = np.geomspace(0.02, 0.2, 25)
taken = {}
for (name, (images, labels)), colour in zip(sets.items(), ("tab:blue", "tab:orange", "tab:green"), strict=False):
    for kind, shown, style in (("real", labels, "-"), ("random", rng.permutation(labels), "--")):
        taken[name, kind] = curve(images.astype(float), shown, levels)
        right.plot(levels, taken[name, kind], style, color=colour, label=f"{name}, {kind} labels")
    more = taken[name, "random"] - taken[name, "real"]
    print(f"{name}: random labels take {more.min():.0f} to {more.max():.0f} nats more at equal test loss")
    assert more.min() > 0
right.set(
    xscale="log",
    yscale="symlog",
    ylim=(0, None),
    xlabel="test loss",
    ylabel="nats",
    title="infinitely wide networks, 300 fit",
)
right.legend(fontsize=8)
plt.show()
