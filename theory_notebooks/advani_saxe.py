# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Errors along a training, exactly
#
# **Claim** (Advani, Saxe and Sompolinsky 2020). A linear student of N weights, trained by gradient flow on P = αN
# examples with noisy labels, has a training and a test error that are integrals over the law of Marchenko and Pastur,
# at every time. Trained to the end the test error peaks at α = 1, where there are as many examples as weights. Stopping
# at the best time is nearly as good as the best ridge penalty, and the peak is gone.
#
# **What would have falsified it**: simulated students outside of their error bars around the curves below.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.worlds import GradientFlow

rng = np.random.default_rng(0)
times = np.geomspace(0.05, 1000, 60)

# %% [markdown]
# ## Along the training
#
# Points are means of 30 students of 200 weights with two standard errors; each follows its gradient flow exactly, by
# the singular values of its design.

# %%
figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True, layout="constrained")
at = times[::6]
for panel, alpha in zip(panels, (0.5, 1.0, 2.0), strict=True):
    world = GradientFlow(alpha, teacher=1.0, noise=0.25)
    drawn = [world.draw(200, at, rng) for _ in range(30)]
    for name, colour in (("test", "tab:red"), ("train", "tab:blue")):
        theory = getattr(world, f"{name}_error")
        values = np.array([getattr(each, f"{name}_errors") for each in drawn])
        error = values.std(0, ddof=1) / np.sqrt(len(drawn))
        panel.plot(times, theory(times), color=colour, label=f"{name} error, theory")
        panel.errorbar(at, values.mean(0), 2 * error, fmt="o", ms=3, color=colour, label="simulated")
        # The verdict, not only the picture: five standard errors and the 1/N that a finite student is off.
        assert (np.abs(values.mean(0) - theory(at)) < 5 * error + 2 / 200).all()
    best, least = world.best_stopping()
    panel.axvline(best, color="0.5", ls=":", label="best time to stop")
    panel.axhline(world.best_ridge, color="k", lw=0.8, ls="--", label="best ridge")
    panel.set(xscale="log", title=f"α = {alpha}", xlabel="time")
panels[0].set_ylabel("mean square error")
panels[0].set_ylim(0, 2.2)
panels[2].legend(fontsize=7)
plt.show()

# %% [markdown]
# ## The peak at α = 1
#
# Trained to the end the error diverges where the smallest eigenvalues of the design are nearly 0: noise along them is
# divided by them. Stopping never lets it.

# %%
alphas = np.geomspace(0.1, 10, 81)
ends = [GradientFlow(a).test_error(1e6).item() for a in alphas]
stopped = [GradientFlow(a).best_stopping()[1] for a in alphas]
ridge = [GradientFlow(a).best_ridge for a in alphas]
closed = [1 - a + 0.25 / (1 - a) if a < 1 else 0.25 * a / (a - 1) for a in alphas[np.abs(alphas - 1) > 0.02]]
figure, panel = plt.subplots(figsize=(6, 3.8), layout="constrained")
panel.plot(alphas, ends, label="trained to the end")
panel.plot(alphas[np.abs(alphas - 1) > 0.02], closed, "k.", ms=3, label="closed form")
panel.plot(alphas, stopped, label="stopped at the best time")
panel.plot(alphas, ridge, "--", label="best ridge")
panel.set(xscale="log", yscale="log", xlabel="examples for each weight, α", ylabel="test error", ylim=(0.2, 30))
panel.legend()
plt.show()
assert np.all(np.diff(stopped) < 0), "the stopped student gets better with every example"
assert np.all(np.array(ridge) <= np.array(stopped) + 1e-9)
print(f"at most {np.max(np.array(stopped) / np.array(ridge) - 1):.1%} lost by stopping instead of the best ridge")
