# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # PAC-Bayes, from a change of measure to a bound that fails as seldom as it says
#
# **Claim.** For a prior P, all posteriors Q at once, and n independent examples, kl(r(Q) || R(Q)) is at most
# (KL(Q || P) + ln(xi(n) / δ)) / n with probability at least 1 - δ. Inverting the small kl dominates every other form
# that rests on the same event, and Catoni's bound, at its best temperature, is the same inverse.
#
# **What would have falsified it**: a world whose exact failure probability is above δ, or a point of the plane where
# another form lies below.

# %%
import math

import numpy as np
import sympy as sp
from matplotlib import pyplot as plt

from genbounds import pac_bayes
from genbounds.numerics import kl_upper
from genbounds.numerics.gaussians import kl_diagonal
from genbounds.theorems import catalogue
from genbounds.worlds import attack

# %% [markdown]
# ## Change of measure
#
# Donsker and Varadhan: E_Q f - KL(Q || P) is largest at the Gibbs posterior Q ∝ P e^f, where it is ln E_P e^f. For
# three hypotheses sympy solves the equations of the Lagrangian.

# %%
p = sp.symbols("p1:4", positive=True)
f = sp.symbols("f1:4", real=True)
q = sp.symbols("q1:4", positive=True)
multiplier = sp.symbols("nu", real=True)
value = sum(qi * fi - qi * sp.log(qi / pi) for qi, fi, pi in zip(q, f, p, strict=True))
total = sum(pi * sp.exp(fi) for pi, fi in zip(p, f, strict=True))
gibbs = {qi: pi * sp.exp(fi) / total for qi, pi, fi in zip(q, p, f, strict=True)}
slopes = [sp.diff(value, qi).subs(gibbs) for qi in q]
assert all(sp.simplify(sp.expand_log(one - slopes[0], force=True)) == 0 for one in slopes), "all slopes are equal"
assert sp.simplify(sp.expand_log(value.subs(gibbs) - sp.log(total), force=True)) == 0
print("E_Q f - KL at the Gibbs posterior:", sp.log(total))

# %% [markdown]
# ## The divergence of Gaussians
#
# Integrated by sympy, and held against the code.

# %%
x, m, n0 = sp.symbols("x m n", real=True)
s, t = sp.symbols("s t", positive=True)


def log_density(mean, scale):
    return -((x - mean) ** 2) / (2 * scale**2) - sp.log(scale) - sp.log(2 * sp.pi) / 2


integrand = sp.expand(sp.exp(log_density(m, s)) * (log_density(m, s) - log_density(n0, t)))
divergence = sp.simplify(sp.integrate(integrand, (x, -sp.oo, sp.oo)))
print("KL(N(m, s²) || N(n, t²)) =", divergence)
exact = sp.lambdify((m, s, n0, t), divergence)
for numbers in ((0.3, 0.5, -1.0, 2.0), (1.0, 1.0, 1.0, 1.0), (5.0, 0.1, 0.0, 0.3)):
    assert math.isclose(kl_diagonal(*numbers), exact(*numbers), rel_tol=1e-12, abs_tol=1e-14)

# %% [markdown]
# ## Catoni's envelope is the inverse of the small kl
#
# At C* = ln(R (1 - r) / (r (1 - R))) and a budget of kl(r || R) Catoni's right-hand side is R, and its slope in C is 0.

# %%
r, big, c = sp.symbols("r R C", positive=True)
budget = r * sp.log(r / big) + (1 - r) * sp.log((1 - r) / (1 - big))
side = (1 - sp.exp(-c * r - budget)) / (1 - sp.exp(-c))
best = sp.log(big * (1 - r) / (r * (1 - big)))
for numbers in ({r: sp.Rational(1, 10), big: sp.Rational(1, 4)}, {r: sp.Rational(1, 3), big: sp.Rational(3, 4)}):
    assert abs(sp.N(side.subs(c, best).subs(numbers) - numbers[big], 40)) < 1e-35
    assert abs(sp.N(sp.diff(side, c).subs(c, best).subs(numbers), 40)) < 1e-35
temperatures = np.geomspace(0.01, 20, 4000)
for risk, budget_of in ((0.02, 0.01), (0.1, 0.05), (0.3, 0.002)):
    envelope = np.min(-np.expm1(-temperatures * risk - budget_of) / -np.expm1(-temperatures))
    assert math.isclose(envelope, kl_upper(risk, budget_of), rel_tol=1e-5)

# %% [markdown]
# ## Coverage and slack in exact worlds
#
# Every theorem of the catalogue is attacked by finite worlds in which its failure probability is summed over all
# samples. The worst of them, with δ = 0.05; the axis is logarithmic. Slack is the mean distance from the truth in the
# world where that is least.

# %%
names = ["seeger_xi", "maurer", "mcallester", "quadratic", "tolstikhin", "catoni", "rivasplata", "viallard"]
worst, slack = [], []
for name in names:
    attacks = attack(catalogue()[f"pac_bayes.{name}"], 0.05)
    assert all(each.survived for each in attacks)
    worst.append(max(each.failure for each in attacks))
    slack.append(min(each.slack for each in attacks))
    print(f"{name:18} fails with probability {worst[-1]:.4f} at most, least slack {slack[-1]:.3f}")
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
left.barh(names, worst)
left.axvline(0.05, color="tab:red", ls="--", label="δ")
left.set(xscale="log", xlabel="largest failure probability in a world", title="no world refutes them")
left.legend()

# %% [markdown]
# ## Why the inverse dominates
#
# All forms on the one event, for one budget: the inverse is never above the others, which follow from it by lower
# limits of the kl that are simpler to invert.

# %%
risks = np.linspace(0, 0.5, 101)
kl, n = 300.0, 10_000
forms = {
    "kl inverse (seeger_xi)": pac_bayes.seeger_xi,
    "maurer": pac_bayes.maurer,
    "mcallester": pac_bayes.mcallester,
    "quadratic": pac_bayes.quadratic,
    "tolstikhin": pac_bayes.tolstikhin,
}
values = {name: form(risks, kl, n, 0.05) for name, form in forms.items()}
for name, bound in values.items():
    right.plot(risks, bound - risks, label=name)
    assert (values["kl inverse (seeger_xi)"] <= bound).all()
right.set(xlabel="empirical Gibbs risk", ylabel="bound minus risk", title=f"KL = {kl:g} nats, n = {n:,}")
right.legend(fontsize=8)
plt.show()
