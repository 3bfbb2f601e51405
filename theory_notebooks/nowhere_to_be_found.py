# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # One measure, many truths
#
# **Claim** (Gastpar, Nachum, Shafer and Weinberger 2024). No function of sample and network, whatever it computes, is
# close to the risk in all worlds in which sample and network have the same law. A bound that is valid in all of them
# survives by being vacuous in the one whose risk is 0.
#
# **What would have falsified it**: a function whose mean error is below the floor in both worlds at once, or a valid
# bound that is tight in the first.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.pac_bayes import occam_binomial
from genbounds.worlds import LinearMapTwins, ShatteredTwins

rng = np.random.default_rng(0)

# %% [markdown]
# ## Shattered points
#
# d points, n drawn uniformly, and a learner that picks uniformly among all labellings that fit. In world A the truth is
# what it picked; in world B it is a uniform labelling. The pair of sample and hypothesis has one law.

# %%
d, draws = 200, 2000
sizes = np.array([10, 50, 100, 200, 400, 800])
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
means, errors, bounds = [], [], []
for n in sizes:
    twins = ShatteredTwins(d, int(n))
    risks = np.array([twins.draw(rng).risk_other for _ in range(draws)])
    means.append(risks.mean())
    errors.append(risks.std(ddof=1) / np.sqrt(draws))
    assert abs(means[-1] - twins.mean_risk) < 5 * errors[-1]
    # Occam's bound for all 2^d labellings: valid in both worlds.
    bounds.append(float(occam_binomial(0, d * np.log(2), int(n), 0.05)))
    assert (bounds[-1] < risks).mean() <= 0.05
left.errorbar(sizes, means, 2 * np.array(errors), fmt="o", label="risk in world B, simulated")
left.plot(sizes, [ShatteredTwins(d, int(n)).mean_risk for n in sizes], label="(1/2)(1 - 1/d)^n")
left.plot(sizes, np.zeros(len(sizes)), label="risk in world A")
left.plot(sizes, [ShatteredTwins(d, int(n)).tightness for n in sizes], ":", label="no function is nearer to both")
left.plot(sizes, bounds, "k--", label="Occam's bound, valid in both")
left.set(xscale="log", xlabel="examples", ylabel="risk", title=f"{d} shattered points")
left.legend(fontsize=7)

# %% [markdown]
# What any function could at best do: if either world is as likely, its mean square error is at least the estimability
# floor. Below, the best constant and the best function of the number of distinct points seen, against the floor.

# %%
floors, constants, functions = [], [], []
for n in sizes:
    twins = ShatteredTwins(d, int(n))
    drawn = [twins.draw(rng) for _ in range(draws)]
    truth = np.array([each.risk_own if rng.random() < 0.5 else each.risk_other for each in drawn])
    unseen = d - np.array([len(np.unique(each.indices)) for each in drawn])
    floors.append(twins.estimability_floor)
    constants.append(truth.var())
    functions.append(np.mean((truth - unseen / (4 * d)) ** 2))
    assert functions[-1] > 0.9 * floors[-1]
right.plot(sizes, np.sqrt(floors), label="estimability floor")
right.plot(sizes, np.sqrt(functions), "o", label="unseen / 4d, which attains it")
right.plot(sizes, np.sqrt(constants), "s", mfc="none", label="the best constant")
right.set(xscale="log", yscale="log", xlabel="examples", ylabel="root mean square error", title="estimability")
right.legend(fontsize=7)
plt.show()

# %% [markdown]
# ## An algorithm may be as hopeless
#
# A learner of linear maps over the field of q elements prefers k coordinates. Given k examples whose design is
# invertible it is right in world A, and errs on a share 1 - 1/q of inputs in world B, with the same law of sample and
# hypothesis: whoever knows the algorithm is none the wiser.

# %%
for q in (2, 3, 11, 101):
    twins = LinearMapTwins(q, 10)
    print(f"q = {q:3}: solvable with probability {twins.solvable:.4f}; risk 0 in A, {twins.risk:.4f} in B")
