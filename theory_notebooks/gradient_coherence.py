# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Gradients that agree, and descent without the directions where they do not
#
# **Claim** (Chatterjee 2020; Chatterjee and Zielinski 2022). Gradients of examples with real labels point the same way
# early in a training, those of examples with random labels do not. Descent that leaves out directions in which few
# examples agree learns what labels have in common and does not memorise wrong ones. How far gradients agree is
# α = |E g|² / E |g|², and m of them show coherence even where there is none: 1/m.
#
# **What would have falsified it**: means of α away from the exact ones; random labels as coherent as real ones early
# on; descent without weak directions memorising as many wrong labels as plain descent does. One form nearly did: the
# median of three memorises later, and in the end nearly as much.

# %%
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

from genbounds.coherence import measure, median_gradients, winsorised_gradients
from genbounds.coherence.alpha import unbiased
from genbounds.models.per_example.engine import PerExampleGradients
from genbounds.worlds import GaussianGradients

rng = np.random.default_rng(0)

# %% [markdown]
# ## What m gradients say about α
#
# Gaussian gradients, of which the mean of the plug-in is known exactly. Points: means of 2,000 samples, with two
# standard errors; the unbiased form stays where the truth is.

# %%
figure, panels = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
sizes = np.array([4, 8, 16, 32, 64, 128])
for panel_alpha, colour in ((0.0, "tab:blue"), (0.05, "tab:red")):
    dimensions = 20
    mean = np.full(dimensions, np.sqrt(panel_alpha / (1 - panel_alpha)))
    world = GaussianGradients(mean, scale=1.0)
    exact, points, errors, corrected = [], [], [], []
    for m in sizes:
        gradients = np.stack([world.sample(rng, int(m)) for _ in range(2000)])
        squared_mean = np.square(gradients.mean(1)).sum(1)
        second_moment = np.square(gradients).sum(2).mean(1)
        alphas = squared_mean / second_moment
        exact.append(float(world.mean_coherence(int(m))))
        points.append(alphas.mean())
        errors.append(alphas.std(ddof=1) / np.sqrt(len(alphas)))
        signal, noise = unbiased(squared_mean, second_moment, int(m))
        corrected.append(signal.mean() / (signal.mean() + noise.mean()))
        assert abs(points[-1] - exact[-1]) < 5 * errors[-1]
        spread = 5 * signal.std(ddof=1) / np.sqrt(len(signal)) / world.second_moment
        assert abs(corrected[-1] - world.coherence) < spread
    panels[0].plot(sizes, exact, color=colour, label=f"exact mean of the plug-in, α = {world.coherence:.2g}")
    panels[0].errorbar(sizes, points, 2 * np.array(errors), fmt="o", ms=4, color=colour)
    panels[0].plot(sizes, corrected, "x", color=colour, label="unbiased signal over second moment")
panels[0].axhline(0.05, color="tab:red", lw=0.6, ls=":")
panels[0].axhline(0.0, color="tab:blue", lw=0.6, ls=":")
panels[0].set(xscale="log", xlabel="gradients m", ylabel="α of the sample", title="a sample sees coherence in noise")
panels[0].legend(fontsize=7)

# %% [markdown]
# ## Real and random labels
#
# The same 600 digits with their labels, and with labels drawn at random; five networks each. m-coherence m α counts how
# many examples share a direction: 1 where all are orthogonal, m where all are equal. Bars are two standard errors over
# networks.

# %%
digits = load_digits()
order = rng.permutation(len(digits.data))
inputs = torch.tensor(digits.data[order] / 16, dtype=torch.float32)
labels = torch.tensor(digits.target[order])
train, test = slice(0, 600), slice(600, None)
epochs = (0, 1, 2, 4, 8, 16, 32)


def network(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def batches(seed, epoch, size):
    drawn = torch.Generator().manual_seed(1000 * seed + epoch)
    return torch.randperm(600, generator=drawn).split(size)


def error(model, x, y):
    with torch.no_grad():
        return float((model(x).argmax(1) != y).double().mean())


def coherence_along(targets, seed):
    model, values = network(seed), []
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(max(epochs) + 1):
        if epoch in epochs:
            found = measure(model.eval(), nn.functional.cross_entropy, (inputs[train], targets), interval=False)
            values.append(found.m_coherence)
        for batch in batches(seed, epoch, 50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model.train()(inputs[train][batch]), targets[batch]).backward()
            optimiser.step()
    return values


random_labels = torch.randint(10, (600,), generator=torch.Generator().manual_seed(0))
along = {}
for name, targets in (("real labels", labels[train]), ("random labels", random_labels)):
    along[name] = np.array([coherence_along(targets, seed) for seed in range(5)])
    panels[1].errorbar(
        np.array(epochs) + 0.5,
        along[name].mean(0),
        2 * along[name].std(0, ddof=1) / np.sqrt(5),
        fmt="o-",
        ms=4,
        label=name,
    )
panels[1].axhline(1, color="0.5", ls=":", label="orthogonal gradients")
panels[1].set(xscale="log", yscale="log", xlabel="epochs + 1/2", ylabel="m-coherence of 600", title="digits")
panels[1].legend(fontsize=7)
for name, values in along.items():
    print(f"{name}: m-coherence {values[:, 0].mean():.1f} before, {values[:, -1].mean():.1f} after {epochs[-1]} epochs")
early = along["real labels"][:, 1] / along["random labels"][:, 1]
print(f"after one epoch real labels are {early.min():.1f} to {early.max():.1f} times as coherent")
assert early.min() > 1.5
assert along["real labels"][:, 0].min() > 2 * along["random labels"][:, 0].max()

# %% [markdown]
# ## Descent without weak directions
#
# Half of the labels wrong. Plain descent first learns the right ones and then memorises the wrong ones. Winsorised
# gradients (a tenth clipped on each side, in every coordinate) do not memorise; the median of three parts of each batch
# only puts it off. Means of three networks with two standard errors.

# %%
drawn = torch.Generator().manual_seed(1)
wrong = torch.rand(600, generator=drawn) < 0.5
noisy = torch.where(wrong, (labels[train] + torch.randint(1, 10, (600,), generator=drawn)) % 10, labels[train])
moments = np.arange(0, 151, 15)
results = {}
for name, colour in (("plain", "tab:red"), ("winsorised", "tab:blue"), ("median of three", "tab:green")):
    memorised, missed = [], []
    for seed in range(3):
        model = network(seed)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
        engine = PerExampleGradients(model, nn.functional.cross_entropy)
        kept, errors = [], []
        for epoch in range(moments[-1] + 1):
            if epoch in moments:
                kept.append(1 - error(model, inputs[train][wrong], noisy[wrong]))
                errors.append(error(model, inputs[test], labels[test]))
            for batch in batches(seed, epoch, 60):
                optimiser.zero_grad()
                x, y = inputs[train][batch], noisy[batch]
                if name == "plain":
                    nn.functional.cross_entropy(model(x), y).backward()
                elif name == "winsorised":
                    winsorised_gradients(engine, x, y, c=10)
                else:
                    median_gradients(model, nn.functional.cross_entropy, x, y)
                optimiser.step()
        memorised.append(kept)
        missed.append(errors)
    results[name] = np.array(memorised), np.array(missed)
    for values, style in zip(results[name], ("-", "--"), strict=True):
        bars = 2 * values.std(0, ddof=1) / np.sqrt(len(values))
        panels[2].errorbar(moments, values.mean(0), bars, ls=style, color=colour)
    panels[2].plot([], [], color=colour, label=name)
panels[2].plot([], [], "k-", label="wrong labels memorised")
panels[2].plot([], [], "k--", label="test error")
panels[2].set(xlabel="epochs", title="half of the labels wrong", ylim=(0, 1))
panels[2].legend(fontsize=7)
plt.show()
for name, (memorised, missed) in results.items():
    print(
        f"{name:16} memorised {memorised[:, -1].mean():.2f} of the wrong labels, test error {missed[:, -1].mean():.3f}"
    )
plain, clipped = results["plain"], results["winsorised"]
assert clipped[0][:, -1].max() < 0.5 * plain[0][:, -1].min()
assert clipped[1][:, -1].max() < plain[1][:, -1].min()
