# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # The universality lens: what predicting with all hypotheses at once costs
#
# **Claim.** Whoever predicts coin flips by the mixture of all coins pays, in expected log-loss beyond that of the true
# coin, about half ln n: the regret is at most -ln E exp(-n D) over the prior, and at most n e + ln(1 / w(e)) for every
# radius e, where w(e), the weight of the hypothesis, is the prior mass of the coins within e of it. The posterior that
# attains the first is found by Langevin sampling too.
#
# **What would have falsified it**: a simulated regret above a bound, or one that does not approach its asymptote.

# %%
import math

import numpy as np
from matplotlib import pyplot as plt
from scipy.special import betaln

from genbounds.worlds import BernoulliUniversality

rng = np.random.default_rng(0)
theta = 0.3
sizes = np.unique(np.geomspace(2, 3000, 25).astype(int))
worlds = [BernoulliUniversality(theta, int(n)) for n in sizes]

# %%
draws, means, errors = 4000, [], []
for world in worlds:
    ones = rng.binomial(world.n, theta, draws)
    # Log-loss of the mixture less that of the coin, for each sequence drawn.
    losses = -betaln(ones + 1, world.n - ones + 1) + ones * math.log(theta) + (world.n - ones) * math.log(1 - theta)
    means.append(losses.mean())
    errors.append(losses.std(ddof=1) / math.sqrt(draws))
means, errors = np.array(means), np.array(errors)
exact = np.array([world.redundancy for world in worlds])
mixture, ball = (np.array([getattr(world, name) for world in worlds]) for name in ("mixture_bound", "ball_bound"))
asymptote = np.array([world.asymptote for world in worlds])
assert (np.abs(means - exact) < 5 * errors).all()
assert (exact <= mixture).all()
assert (mixture <= ball).all()
assert abs(exact[-1] - asymptote[-1]) < 0.01

# %% [markdown]
# ## The posterior behind the bound, sampled
#
# -ln E exp(-n D) is the least n E_q D + KL(q || prior) over all q (Donsker and Varadhan), attained at a Beta law. A
# Langevin walk on the logit of the coin samples it: its energy there is n D less the logarithm of the prior's density.

# %%
n, step, walkers = 50, 0.01, 2000
logit = rng.standard_normal(walkers)
for _ in range(4000):
    coin = 1 / (1 + np.exp(-logit))
    slope = n * (coin - theta) - (1 - 2 * coin)  # of n D(theta || coin) - ln(coin (1 - coin)) in the logit
    logit += -step * slope + math.sqrt(2 * step) * rng.standard_normal(walkers)
coin = 1 / (1 + np.exp(-logit))
a, b = n * theta + 1, n * (1 - theta) + 1
mean, deviation = a / (a + b), math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
print(f"Langevin: mean {coin.mean():.4f}, deviation {coin.std():.4f}; Beta law: {mean:.4f}, {deviation:.4f}")
assert abs(coin.mean() - mean) < 5 * deviation / math.sqrt(walkers)
assert abs(coin.std() / deviation - 1) < 0.1  # the step is finite

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
left.errorbar(sizes, means, 2 * errors, fmt="o", ms=3, label="simulated regret")
left.plot(sizes, exact, label="summed exactly")
left.plot(sizes, mixture, "--", label="-ln E exp(-n D)")
left.plot(sizes, ball, ":", label="n e + ln(1/w(e)), best e")
left.plot(sizes, asymptote, color="0.5", lw=1, label="asymptote")
left.set(xscale="log", xlabel="flips", ylabel="nats", title=f"regret of the mixture, θ = {theta}")
left.legend(fontsize=7)
grid = np.linspace(0.05, 0.6, 200)
density = np.exp((a - 1) * np.log(grid) + (b - 1) * np.log1p(-grid) - betaln(a, b))
right.hist(coin, 40, density=True, alpha=0.5, label="Langevin walk")
right.plot(grid, density, "k", label=f"Beta({a:g}, {b:g})")
right.set(xlabel="probability of a one", title="the posterior that attains the bound")
right.legend(fontsize=7)
plt.show()
