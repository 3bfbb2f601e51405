# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Bounds by layer: what a network forgets about its examples
#
# **Claim** (He and Goldfeld 2025). The gap is bounded by how far the laws of training and test representations differ
# at any layer, given the weights; by data processing the deeper layer never gives the larger bound. In a linear network
# depth alone changes nothing: layers that keep all coordinates forget nothing, a funnel does.
#
# **What would have falsified it**: a simulated gap above the bound of some layer, or a divergence that grows with
# depth.

# %%
import numpy as np
import sympy as sp
from matplotlib import pyplot as plt

from genbounds.information import hierarchical_information
from genbounds.worlds import BinaryGaussianLinearNetwork

rng = np.random.default_rng(0)

# %% [markdown]
# ## The divergence of one layer, derived
#
# Given the weights V the product Y X of a training example is N(V, s² (1 - 1/n)) in every coordinate, that of a test
# example N(mu, s²). sympy integrates, then averages over V - mu, which is N(0, s²/n).

# %%
x, v, mu = sp.symbols("x v mu", real=True)
s, n = sp.symbols("s n", positive=True)
variance = s**2 * (1 - 1 / n)
log_ratio = -((x - v) ** 2) / (2 * variance) + (x - mu) ** 2 / (2 * s**2) - sp.log(1 - 1 / n) / 2
# Under the training law x has mean v and variance s²(1 - 1/n): take the moments of the polynomial.
polynomial = sp.Poly(sp.expand(log_ratio), x)
moments = {0: 1, 1: v, 2: v**2 + variance}
given_weights = sum(c * moments[k] for (k,), c in polynomial.terms())
deviation = sp.symbols("u", real=True)
in_deviation = sp.Poly(sp.expand(sp.simplify(given_weights.subs(v, mu + deviation))), deviation)
averaged = sum(c * {0: 1, 1: 0, 2: s**2 / n}[k] for (k,), c in in_deviation.terms())
per_coordinate = sp.simplify(averaged)
print("divergence of one coordinate:", per_coordinate)
assert sp.simplify(per_coordinate + sp.log(1 - 1 / n) / 2) == 0
for count in (2, 10, 50):
    code = BinaryGaussianLinearNetwork(6, count, 1.3, signal=1.0).layer_divergences[0, 0]
    assert np.isclose(code, float(6 * per_coordinate.subs({n: count, s: 1.3})), rtol=1e-12)

# %% [markdown]
# ## A funnel, and a pipe

# %%
networks = {
    "pipe 50-50-50-50": BinaryGaussianLinearNetwork(50, 20, 1.0, signal=1.0, widths=(50, 50, 50)),
    "funnel 50-20-5-2": BinaryGaussianLinearNetwork(50, 20, 1.0, signal=1.0, widths=(20, 5, 2)),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
for (name, network), colour in zip(networks.items(), ("tab:red", "tab:blue"), strict=True):
    bounds = hierarchical_information(network.layer_divergences, 0.5)
    gaps = network.simulate(rng, 20_000)
    mean, error = gaps.mean(), gaps.std(ddof=1) / np.sqrt(len(gaps))
    assert abs(mean - network.gap) < 5 * error
    assert (np.diff(bounds) <= 1e-12).all()
    assert (bounds >= network.gap).all()
    layers = np.arange(len(bounds))
    left.plot(layers, bounds, "o-", color=colour, label=f"bound, {name}")
    left.errorbar(layers, np.full(len(layers), mean), 2 * error, fmt="s", ms=3, color=colour, mfc="none")
    left.axhline(network.gap, color=colour, lw=0.8, ls="--")
    print(f"{name}: bounds {np.round(bounds, 3)}, gap {network.gap:.4f}, simulated {mean:.4f} ± {error:.4f}")
left.set(xlabel="layer (0 is the input, the last the output)", ylabel="gap", title="bounds by layer; squares: the gap")
left.set_yscale("log")
left.legend(fontsize=8)
pipe = hierarchical_information(networks["pipe 50-50-50-50"].layer_divergences, 0.5)
assert np.allclose(pipe[:4], pipe[0])

# %% [markdown]
# ## Sampling has a floor
#
# Divergences that are estimated from runs cannot show how small the last ones are. The output's divergence, an
# average over the weights, by its mean over drawn weights: the error bars fall like the root of the number of runs, and
# below them nothing is seen.

# %%
network = networks["funnel 50-20-5-2"]
runs = np.array([30, 100, 300, 1000, 3000, 10_000])
estimates, bars = [], []
for number in runs:
    inputs, labels = network.sample(rng, int(number))
    kept = inputs[..., :2]
    weights = (labels[..., None] * kept).mean(1)
    centre = np.array([network.signal, 0.0])
    along = np.einsum("rd,rd->r", weights, weights - centre) ** 2 / np.sum(weights**2, axis=1)
    values = (-1 / network.n - np.log1p(-1 / network.n) + along / network.scale**2) / 2
    estimates.append(values.mean())
    bars.append(values.std(ddof=1) / np.sqrt(number))
    assert abs(values.mean() - network.output_divergence) < 5 * bars[-1]
right.errorbar(runs, estimates, 2 * np.array(bars), fmt="o", label="mean over drawn weights")
right.axhline(network.output_divergence, color="k", lw=0.8, label="exact")
right.set(xscale="log", xlabel="runs", ylabel="nats", title="divergence at the output")
right.legend(fontsize=8)
plt.show()
