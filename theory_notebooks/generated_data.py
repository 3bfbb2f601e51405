# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Generated examples shrink the gap and not the error
#
# **Claim** (after Zheng, Wu and Li 2023). Examples drawn from a generator that was trained on the same data shrink the
# gap between training and test. For two normal classes both are known: the gap tends to half of what it was, after a
# little rise up to a third as many generated examples; and the test error never improves: it is worst where there are
# as many generated as real ones. Whoever reads the gap alone sees progress.
#
# **What would have falsified it**: a test error below that without the generator, beyond the error bars.

# %%
import numpy as np
from matplotlib import pyplot as plt

from genbounds.worlds import AugmentedMixture

rng = np.random.default_rng(0)
gammas = np.array([0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for panel, (d, m) in zip(panels, ((50, 10), (5, 100)), strict=True):
    worlds = [AugmentedMixture(d, m, gamma) for gamma in gammas]
    for name, colour in (("test", "tab:red"), ("train", "tab:blue")):
        values = np.array([[getattr(world.draw(rng), name) for _ in range(400)] for world in worlds])
        error = values.std(1, ddof=1) / 20
        theory = np.array([getattr(world, name) for world in worlds])
        panel.plot(gammas, theory, color=colour, label=f"{name}, theory")
        panel.errorbar(gammas, values.mean(1), 2 * error, fmt="o", ms=3, color=colour, label="simulated")
        assert (np.abs(values.mean(1) - theory) < 5 * error).all()
    gaps = np.array([world.gap for world in worlds])
    tests = np.array([world.test for world in worlds])
    assert np.all(np.diff(gaps)[3:] < 0)
    assert gaps[-1] < 0.6 * gaps[0]
    assert tests.argmin() == 0
    assert tests.argmax() == 3
    print(f"d = {d}, m = {m}: the gap falls from {gaps[0]:.3f} to {gaps[-1]:.3f}")
    print(f"the test error is {tests[0]:.3f} without, {tests[3]:.3f} at gamma = 1 and {tests[-1]:.3f} at 20")
    panel.set(xlabel="generated for each real example, γ", ylabel="negative log-likelihood", title=f"d = {d}, m = {m}")
    panel.legend(fontsize=7)
plt.show()
