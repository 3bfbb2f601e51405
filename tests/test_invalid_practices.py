"""The page of invalid practices keeps its word: every number on it is computed here, every refusal is provoked."""

import copy
import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from genbounds.certificates import Certificate, CertificateError, Sample, state, verify
from genbounds.certificates.content import digest
from genbounds.models.guards import ModelError, StochasticData
from genbounds.numerics import kl_upper
from genbounds.pac_bayes import (
    catoni,
    clopper_pearson,
    maurer,
    monte_carlo_binomial,
    monte_carlo_kl,
    occam_kl,
    seeger_xi,
)
from genbounds.theorems import Assumption, Grid, catalogue
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify
from genbounds.worlds import (
    FiniteWorld,
    fresh_draws_attack,
    gibbs_attack,
    hypothesis_attack,
    kl_divergence,
    lone_predictor,
    poisson_binomial_law,
    shattered_points,
)

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "invalid_practices.md").read_text(encoding="utf-8")
MNIST = json.loads((ROOT / "docs" / "certificates" / "mnist-fully-connected.json").read_text(encoding="utf-8"))
DELTA = 0.05
QUICK = {
    "network": NetworkTraining(epochs=2, batch_size=32, learning_rate=1e-2),
    "posterior": PosteriorTraining(epochs=1, batch_size=64),
    "passes": 2,
}


# What each practice costs, in the words of the page.


def percent(probability: float) -> str:
    """A probability as the page prints it, never 100 % for less."""
    return "more than 99.9 %" if probability > 0.999 else f"{100 * probability:.1f} %"


@cache
def seen_points(points: int, draws: int) -> np.ndarray:
    """Law of the number of different points among so many draws, each point as likely."""
    law = np.zeros(points + 1)
    law[0] = 1.0
    for _ in range(draws):
        stays = law * np.arange(points + 1) / points
        law = stays + np.append(0.0, (law * (1 - np.arange(points + 1) / points))[:-1])
    return law


def memorised(bound: float, points: int, draws: int) -> float:
    """Probability that more of the points are unseen than a bound says, for one who errs on these alone."""
    unseen = 1 - np.arange(points + 1) / points
    return float(seen_points(points, draws)[unseen > bound].sum())


def tuned_scale():
    world, n = shattered_points(6), 6
    half = np.flatnonzero(world.losses.sum(axis=1) == 3)
    priors = np.full((20, 64), 0.001 / 63)
    priors[np.arange(20), half] = 0.999
    unpaid = gibbs_attack(maurer, world, n, 0.1, priors).failure
    paid = gibbs_attack(lambda risk, kl, n, d: maurer(risk, kl + math.log(20), n, d), world, n, 0.1, priors).failure
    assert paid <= 0.1 < unpaid
    honest = seeger_xi(0.02, 40.0, 30_000, 0.025 / 41)
    return [percent(unpaid), f"{seeger_xi(0.02, 40.0, 30_000, 0.025):.5f}", f"{honest:.5f}"]


def buffers():
    return [percent(memorised(float(maurer(0.0, 0.0, 60, DELTA)), 60, 60))]


def stratified():
    """A hundred classes, labels at random, the network that says the class most frequent in the prior's half."""
    classes, n = 100, 1000
    risk = 1 - 1 / classes
    correct = np.arange(n + 1)
    enough = int(correct[np.asarray(clopper_pearson(n - correct, n, DELTA)) < risk][0])
    # A stratified half has at least the whole part of half of each class: 2n labels, no class above 2 enough - 1.
    terms = np.exp([-math.lgamma(j + 1) + j * math.log(2 * n / classes) - 2 * n / classes for j in range(2 * enough)])
    law = np.ones(1)
    for _ in range(classes):
        law = np.convolve(law, terms)[: 2 * n + 1]
    poisson = math.exp(2 * n * math.log(2 * n) - 2 * n - math.lgamma(2 * n + 1))
    split_at_random = poisson_binomial_law(np.full(n, 1 / classes))[enough:].sum()
    assert split_at_random <= DELTA
    return [percent(1 - law[2 * n] / poisson), percent(split_at_random)]


def delta_once():
    return [percent(1 - (1 - 0.73**10) ** 2)]


def lengths():
    world, n = shattered_points(6), 6
    found = hypothesis_attack(lambda risk, length, n, d: occam_kl(risk, length / 2, n, d), world, n, 0.15).failure
    assert found > 0.15
    bits, n = 8490.094247824229, 50_000
    without, due = (float(occam_kl(0.13624, b * math.log(2), n, DELTA)) for b in (bits - 2, bits))
    kraft = math.fsum(1 / length**2 for length in range(1, 10**6)) + 1e-6
    return [percent(found), f"{due - without:.1e}", f"{math.log(kraft):.3f}"]


def free_lambda():
    world = FiniteWorld([0.65, 0.175, 0.175], 1 - np.eye(3), [0.62, 0.19, 0.19])
    values = 2.0 ** np.arange(-6, 5)
    unpaid = gibbs_attack(lambda *a: np.min([catoni(*a, C) for C in values], axis=0), world, 1, 0.95).failure
    paid = gibbs_attack(lambda *a: catoni(*a, Grid(values)), world, 1, 0.95).failure
    assert paid <= 0.95 < unpaid
    best = min(float(catoni(0.02, 40.0, 30_000, 0.025, C)) for C in values)
    return [percent(unpaid), f"{best:.5f}", f"{catoni(0.02, 40.0, 30_000, 0.025, Grid(values)):.5f}"]


def mean_network():
    world = FiniteWorld([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], [0.49, 0.49, 0.02])
    posterior = np.array([0.5, 0.5, 0.0])
    certified = float(maurer(0.0, kl_divergence(posterior, world.prior), 100, DELTA))
    assert posterior @ world.risks == 0.0
    return [f"{certified:.3f}", f"{world.risks[2]:.1f}"]


def whole_set():
    risk, kl = MNIST["claims"][0]["value"], MNIST["claims"][1]["inputs"]["kl"]
    wrong, right = (float(seeger_xi(risk, kl, n, 0.028)) for n in (60_000, 30_000))
    assert right == MNIST["claims"][1]["value"]
    world = lone_predictor(float(clopper_pearson(0, 2 * 300, DELTA)) + 1e-9)
    doubled = hypothesis_attack(lambda r, _, n, d: clopper_pearson(np.rint(2 * r * n), 2 * n, d), world, 300, DELTA)
    return [f"{wrong:.5f}", f"{right:.5f}", percent(doubled.failure)]


def no_monte_carlo():
    plain = fresh_draws_attack(lambda k, m, d: k / m, np.full(1000, 0.02), DELTA).failure
    return [percent(plain), f"{monte_carlo_kl(0.02, 1000, 0.01):.5f}", f"{monte_carlo_kl(0.02, 150_000, 0.01):.5f}"]


def stopping():
    p, alive, failure = 0.3, np.array([1.0]), 0.0
    for m in range(1, 61):
        alive = np.convolve(alive, [1 - p, p])
        failed = monte_carlo_binomial(np.arange(m + 1), m, DELTA) < p
        failure += alive[failed].sum()
        alive[failed] = 0.0
    return [percent(failure)]


def drawing_again():
    risk = float(clopper_pearson(0, 10, DELTA)) + 1e-9
    return [percent(1 - (1 - (1 - risk) ** 10) ** 20)]


def augmentation():
    n, copies = 100, 8
    world = lone_predictor(float(clopper_pearson(0, n * copies, DELTA)) + 1e-9)
    found = hypothesis_attack(
        lambda r, _, n, d: clopper_pearson(np.rint(copies * r * n), copies * n, d), world, n, DELTA
    ).failure
    return [percent(found)]


def overlap():
    """Sixty examples for the bound, thirty of them also for the prior, whose network errs on what it has not seen."""
    points, half = 60, 30
    limits = clopper_pearson(np.arange(half + 1), 2 * half, DELTA)
    failure = 0.0
    for seen, chance in enumerate(seen_points(points, half)):
        unseen = 1 - seen / points
        failure += chance * poisson_binomial_law(np.full(half, unseen))[limits < unseen].sum()
    return [percent(failure)]


def several_bounds():
    union = float(seeger_xi(0.02, 40.0, 30_000, 0.025 / 7))
    return [percent(1 - (1 - 0.73**10) ** 2), f"{seeger_xi(0.02, 40.0, 30_000, 0.025):.5f}", f"{union:.5f}"]


def midpoint():
    rng = np.random.default_rng(0)
    q, c = rng.random(2000), 10.0 ** rng.uniform(-6, 1, 2000)
    low, high = q.copy(), np.ones_like(q)
    middle = (low + high) / 2
    while (high - low).max() > 1e-5:
        middle = (low + high) / 2
        inside = q * np.log(q / middle) + (1 - q) * np.log((1 - q) / (1 - middle)) <= c
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return [percent((middle < kl_upper(q, c) - 1e-15).mean())]


COSTS = {
    "prior scale tuned on the bound's sample": tuned_scale,
    "BatchNorm buffers that saw the bound's sample": buffers,
    "stratified split": stratified,
    "δ counted once": delta_once,
    "negative bits, lengths that break Kraft's inequality": lengths,
    "free λ without its union": free_lambda,
    "the bound quoted for the mean network": mean_network,
    "n of the whole set with a learnt prior": whole_set,
    "Monte Carlo step left out": no_monte_carlo,
    "drawing until the limit looks good": stopping,
    "one network, drawn again": drawing_again,
    "random augmentation of the bound's sample": augmentation,
    "overlap of roles": overlap,
    "the best of several bounds": several_bounds,
    "a bisection's midpoint": midpoint,
}
ROWS = dict(re.findall(r"^\| \*\*(.+?)\*\* \|(.+)\|$", PAGE, re.MULTILINE))


def test_every_practice_has_a_number_and_a_test():
    assert set(ROWS) == set(COSTS)


@pytest.mark.parametrize("practice", COSTS)
def test_the_page_says_what_is_computed(practice):
    cost, _ = ROWS[practice].rsplit("|", 1)
    assert [number for number in COSTS[practice]() if f" {number}" not in cost] == []


# What happens here: the published certificate with the practice in it, signed anew, is refused.


def refusals(tmp_path, change):
    content = copy.deepcopy(MNIST)
    change(content)
    content["digest"] = digest(content)
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(content))
    try:
        return " ".join(finding.sentence for finding in verify(path).refusals)
    except CertificateError as error:
        return str(error)


def tune_the_scale(c):
    c["prior"]["scale"].update(chosen="grid", candidates=41)


def spend_delta_twice(c):
    for entry in c["ledger"]["entries"]:
        entry["budget"] = 0.035
    c["claims"][0]["inputs"]["delta"] = c["claims"][1]["inputs"]["delta"] = 0.035
    c["claims"][0]["value"] = float(monte_carlo_binomial(2417, 300_000, 0.035))
    c["claims"][1]["value"] = float(seeger_xi(c["claims"][0]["value"], c["posterior"]["kl"], 30_000, 0.035))


def quote_the_mean(c):
    c["claims"][1]["predictor"] = "deterministic"


def count_everything(c):
    c["claims"][1]["inputs"]["n"] = 60_000
    c["claims"][1]["value"] = whole_set_value()


def whole_set_value():
    return float(seeger_xi(MNIST["claims"][0]["value"], MNIST["posterior"]["kl"], 60_000, 0.028))


def leave_out_the_draws(c):
    del c["claims"][0], c["ledger"]["entries"][1]
    c["claims"][0]["inputs"]["risk"] = 2417 / 300_000
    c["claims"][0]["value"] = float(seeger_xi(2417 / 300_000, c["posterior"]["kl"], 30_000, 0.028))


def stop_the_draws(c):
    c["claims"][0]["inputs"].update(draws=150_000, errors=1190)
    c["claims"][0]["value"] = float(monte_carlo_binomial(1190, 150_000, 0.007))
    c["claims"][1]["value"] = float(seeger_xi(c["claims"][0]["value"], c["posterior"]["kl"], 30_000, 0.028))


def share_an_example(c):
    sample = Sample.from_json(c["sample"])
    shared = [*sample.indices("bound")[1:], sample.indices("prior")[0]]
    c["sample"]["roles"]["bound"]["indices"] = Sample.of(70_000, {"bound": shared}, {"bound": "0" * 64}).to_json()[
        "roles"
    ]["bound"]["indices"]


def draw_one_again(c):
    c["draws"] = {"scheme": "single", "count": 20, "seed": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            tune_the_scale,
            "chosen from 41 candidates after seeing the bound's sample, but the ledger pays a union over 1",
        ),
        (spend_delta_twice, "the budgets add up to 0.07, more than delta = 0.035"),
        (quote_the_mean, "its predictor is said to be 'deterministic', but pac_bayes.seeger_xi is about 'gibbs'"),
        (count_everything, "n is 60000, but the role bound has 30,000 examples"),
        (leave_out_the_draws, "the Monte-Carlo step is missing"),
        (stop_the_draws, "are 300,000 draws, not 150,000|300,000 were made, but .* counts 150000"),
        (share_an_example, "the roles prior and bound overlap: 1 in both"),
        (draw_one_again, "one network may be drawn, and is then kept; 20 were"),
    ],
)
def test_a_certificate_with_the_practice_in_it_is_refused(tmp_path, change, words):
    assert re.search(words, refusals(tmp_path, change))


def test_the_published_certificate_itself_holds(tmp_path):
    assert refusals(tmp_path, lambda c: None) == ""


def test_midpoints_are_refused(tmp_path):
    def lower(c):
        c["claims"][1]["value"] -= 1e-9

    assert "is below" in refusals(tmp_path, lower) or "not provably" in refusals(tmp_path, lower)


def test_no_code_is_shorter_than_nothing():
    with pytest.raises(ValueError, match="code_length must be non-negative"):
        occam_kl(0.1, -2 * math.log(2), 100, DELTA)


def test_fixed_parameters_must_be_spoken_of():
    inputs = {"risk": 0.02, "kl": 40.0, "n": 30_000, "delta": 0.025, "C": 2.0}
    assumptions = {a: "declared" for a in Assumption if a is not Assumption.PARAMETER_FIXED_BEFORE_SAMPLE}
    with pytest.raises(CertificateError, match="must say how PARAMETER_FIXED_BEFORE_SAMPLE stands"):
        state("pac_bayes.catoni", "risk", inputs, assumptions=assumptions)


# What happens here: certifying refuses, or marks.


def blobs(n=300):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, 4, generator=generator) + 4 * nn.functional.one_hot(targets, 4), targets


def with_batch_norm():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def small():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def test_buffers_that_saw_the_sample_are_refused():
    inputs, _ = blobs()
    model = with_batch_norm()
    model(inputs)  # in training mode: the buffers see everything
    with pytest.raises(ModelError, match="buffers must not have seen the bound's sample"):
        certify(with_batch_norm, blobs(), checkpoint=model.state_dict(), prior="zero", **QUICK)


class Augmented(Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        return torch.randn(4), index % 3


def test_random_augmentation_is_refused():
    with pytest.raises(StochasticData, match="same example under the same index"):
        certify(small, Augmented(), **QUICK)


def test_overlapping_roles_are_refused():
    with pytest.raises(ValueError, match="roles must not overlap"):
        certify(small, blobs(), roles={"prior": [0, 1, 2], "bound": [2, 3, 4]}, **QUICK)


def test_a_stratified_split_is_recognised_and_marked():
    data = blobs(3000)
    order = np.argsort(data[1].numpy(), kind="stable")
    certificate = certify(small, data, roles={"prior": order[::2], "bound": order[1::2]}, **QUICK)
    assert certificate.claims[-1].assumptions["IID"] == "unknown"
    assert any("stratified" in note for note in certificate.notes)
    assert verify(certificate).ok
    at_random = np.random.default_rng(0).permutation(3000)
    certificate = certify(small, data, roles={"prior": at_random[:1500], "bound": at_random[1500:]}, **QUICK)
    assert certificate.claims[-1].assumptions["IID"] == "declared"
    assert not any("stratified" in note for note in certificate.notes)


def test_a_single_draw_is_a_kind_of_predictor_of_its_own():
    """Its theorems are refused where networks are drawn more than once."""
    drawn_once = [
        name
        for name, theorem in catalogue().items()
        if theorem.predictor == "single draw" and theorem.quantity == "risk"
    ]
    assert len(drawn_once) >= 4
    certificate = Certificate.from_json(MNIST)
    for name in drawn_once:
        inputs = {argument: 0.02 for argument in catalogue()[name].arguments} | {"n": 30_000, "delta": 0.035}
        claim = state(name, "risk", inputs, assumptions=dict.fromkeys(Assumption, "declared"))
        forged = Certificate(**vars(certificate) | {"claims": (claim,), "digest": ""})
        assert any("drawn once" in finding.sentence for finding in verify(forged).refusals), name
