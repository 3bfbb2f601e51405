# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Information and the gap: where it is exact, where it blows up
#
# **Claim.** The gap of a learner that averages Gaussian examples is 2 s² d / n. The information of the whole sample is
# infinite and bounds nothing; that of single examples gives a bound of order 1 / sqrt(n); the distance between the laws
# of the output with and without an example gives the gap itself as n grows. Noise makes the first finite. For the Gibbs
# algorithm the gap *is* an information, divided by the temperature. And along a noisy training the information of the
# trajectory grows without end where that of the last weights does not.
#
# **What would have falsified it**: a simulated gap outside of its error bars around the closed form, or above a bound.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.information import bu_zou_veeravalli, rodriguez_galvez_wasserstein, xu_raginsky
from genbounds.worlds import GaussianMean, GibbsGaussian, LangevinQuadratic, NoisyGaussianMean

rng = np.random.default_rng(0)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")

# %% [markdown]
# ## The mean of Gaussians

# %%
sizes = np.array([5, 10, 20, 50, 100, 200])
runs = 4000
squared, errors, single, whole = [], [], [], []
for n in sizes:
    world, noisy = GaussianMean(1, int(n), 1.0), NoisyGaussianMean(1, int(n), 1.0, noise=0.1)
    gaps = world.simulate(rng, runs)
    squared.append(gaps.mean())
    errors.append(gaps.std(ddof=1) / np.sqrt(runs))
    assert abs(squared[-1] - world.gap) < 5 * errors[-1]
    single.append(float(bu_zou_veeravalli(world.individual_information, world.sigma)))
    assert np.isinf(world.mutual_information)
    whole.append(float(xu_raginsky(noisy.mutual_information, int(n), noisy.sigma)))
    assert world.gap <= single[-1]
left.errorbar(sizes, squared, 2 * np.array(errors), fmt="o", ms=4, label="simulated gap")
left.plot(sizes, [GaussianMean(1, int(n), 1.0).gap for n in sizes], label="2 s² d / n")
left.plot(sizes, single, "--", label="information of single examples")
left.plot(sizes, whole, ":", label="of the sample, with noise added")
left.set(xscale="log", yscale="log", xlabel="examples", title="squared loss: mean of Gaussians")
left.legend(fontsize=7)
for n in (10, 100, 1000):
    world = GaussianMean(1, n, 1.0)
    bound = float(rodriguez_galvez_wasserstein(world.wasserstein_distances, 1.0))
    print(f"n = {n:5}: absolute loss, bound by distances over gap: {bound / world.absolute_gap:.4f}")
    assert 1 <= bound / world.absolute_gap < 1 + 0.2 / n * 10

# %% [markdown]
# ## The Gibbs algorithm: an identity
#
# Its expected gap is (I(W;S) + L(W;S)) / γ, information and lautum information over the inverse temperature
# (Aminian et al. 2021): no bound, an equality.

# %%
temperatures = np.geomspace(0.5, 200, 12)
simulated, bars, exact = [], [], []
for gamma in temperatures:
    world = GibbsGaussian(3, 12, 1.0, prior_scale=1.5, inverse_temperature=float(gamma))
    gaps = world.simulate(rng, runs)
    simulated.append(gaps.mean())
    bars.append(gaps.std(ddof=1) / np.sqrt(runs))
    exact.append(world.symmetrised_information / gamma)
    assert np.isclose(exact[-1], world.gap)
    assert abs(simulated[-1] - exact[-1]) < 5 * bars[-1]
middle.errorbar(temperatures, simulated, 2 * np.array(bars), fmt="o", ms=4, label="simulated gap")
middle.plot(temperatures, exact, label="(I + L) / γ")
middle.set(xscale="log", xlabel="inverse temperature γ", title="Gibbs algorithm")
middle.legend(fontsize=7)

# %% [markdown]
# ## Langevin: the trajectory knows more and more, the weights do not

# %%
lengths = np.unique(np.geomspace(2, 3000, 15).astype(int))
worlds = [LangevinQuadratic(2, 20, 1.0, step=0.05, inverse_temperature=200.0, steps=int(length)) for length in lengths]
last = np.array([world.mutual_information for world in worlds])
path = np.array([world.trajectory_information for world in worlds])
right.plot(lengths, path, label="information in the trajectory")
right.plot(lengths, last, label="information in the last weights")
right.plot(lengths, [world.gap * 10 for world in worlds], label="10 × gap")
some = worlds[::4]
gaps = [world.simulate(rng, 1000) for world in some]
means, spread = np.array([[drawn.mean(), drawn.std()] for drawn in gaps]).T
right.errorbar(lengths[::4], 10 * means, 20 * spread / np.sqrt(1000), fmt="o", ms=4, label="simulated")
assert (last <= path + 1e-12).all()
assert path[-1] > 2 * last[-1]
for world, drawn in zip(some, gaps, strict=True):
    assert abs(drawn.mean() - world.gap) < 5 * drawn.std() / np.sqrt(1000)
right.set(xscale="log", xlabel="steps", ylabel="nats", title="noisy gradient descent on a quadratic")
right.legend(fontsize=7)
plt.show()
