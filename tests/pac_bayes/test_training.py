"""Training: resumed to the same bits, global randomness untouched, the bound lowered."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.models.examples import TensorData
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.pac_bayes.training import (
    Excess,
    NetworkTraining,
    PosteriorTraining,
    _kl,
    train_network,
    train_posterior,
)


def problem(n=400):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(2, (n,), generator=generator)
    inputs = torch.randn(n, 3, generator=generator) + 1.5 * (2 * targets[:, None] - 1)
    return TensorData(inputs, targets, "two blobs")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


class Stopped(Exception):
    pass


def stop_after(monkeypatch, epochs):
    """Fail on the save after so many epochs, as a kill would, once the state is on disk."""
    from genbounds.pac_bayes import training

    save, done = training._Saved.save, []

    def counted(self, **state):
        save(self, **state)
        done.append(state["epoch"])
        if len(done) == epochs:
            raise Stopped

    monkeypatch.setattr(training._Saved, "save", counted)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_network_training_resumes_to_the_same_bits(tmp_path, monkeypatch, noise):
    data, indices, settings = problem(), np.arange(300), NetworkTraining(epochs=4, batch_size=64, noise=noise)
    whole = network()
    train_network(whole, data, indices, settings, seed=3)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            train_network(network(), data, indices, settings, seed=3, resume=tmp_path / "network.pt")
    again = network()
    train_network(again, data, indices, settings, seed=3, resume=tmp_path / "network.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not again.training


def test_other_settings_do_not_resume(tmp_path):
    data, indices = problem(), np.arange(300)
    train_network(network(), data, indices, NetworkTraining(epochs=1), seed=3, resume=tmp_path / "network.pt")
    with pytest.raises(ValueError, match="other settings"):
        train_network(network(), data, indices, NetworkTraining(epochs=2), seed=3, resume=tmp_path / "network.pt")


def test_training_leaves_the_global_generator_alone():
    model = network()
    state = torch.get_rng_state()
    train_network(model, problem(), np.arange(300), NetworkTraining(epochs=1), seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_augmentation_sees_every_batch():
    seen = []

    def flip(inputs, generator):
        seen.append((len(inputs), torch.rand(1, generator=generator).item()))
        return -inputs

    data, model = problem(), network()
    train_network(model, data, np.arange(300), NetworkTraining(epochs=3, batch_size=128), seed=0, augment=flip)
    assert [size for size, _ in seen] == 3 * [128, 128, 44]
    assert len({draw for _, draw in seen}) == 9
    wrong = (model(data.inputs).argmax(1) != data.targets).float().mean()
    assert wrong > 0.7  # it learnt the flipped data


def test_noise_and_batch_norm_do_not_go_together():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="noise must be 0 for a model with BatchNorm"):
        train_network(model, problem(), np.arange(300), NetworkTraining(noise=0.1), seed=0)


def test_noise_and_dropout_go_together_whatever_the_layers():
    model = nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Dropout(0.2), nn.Linear(4, 2))
    train_network(model, problem(), np.arange(300), NetworkTraining(epochs=5, learning_rate=1e-2, noise=0.05), seed=0)
    assert (model(problem().inputs).argmax(1) != problem().targets).float().mean() < 0.05


@pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning")
def test_divergence_is_an_error():
    with pytest.raises(ValueError, match="must stay finite"):
        train_network(network(), problem(), np.arange(300), NetworkTraining(epochs=3, learning_rate=1e30), seed=0)


def fit(tmp=None, *, free=False, seed=0, excess=None, n=None, **changes):
    data, model = problem(), network().eval()
    prior = DiagonalGaussian.isotropic(dict(model.named_parameters()), 0.1)
    settings = PosteriorTraining(**{"epochs": 4, "batch_size": 64, "learning_rate": 2e-2} | changes)
    how = {
        "log_term": 6.0,
        "free_prior_scales": [[name for name, _ in model.named_parameters()]] if free else [],
        "seed": seed,
        "excess": excess,
        "n": n,
        "resume": tmp,
    }
    return train_posterior(model, prior, prior, data, np.arange(400), settings, **how), prior


def test_posterior_training_resumes_to_the_same_bits(tmp_path, monkeypatch):
    whole, _ = fit()
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            fit(tmp_path / "posterior.pt")
    assert fit(tmp_path / "posterior.pt")[0].sha256() == whole.sha256()
    assert fit(seed=1)[0].sha256() != whole.sha256()


def earlier(scale=0.1):
    """Another predictor than the prior of `fit`: a Gaussian, and the network at its centre."""
    model = network()
    with torch.no_grad():
        model[3].bias += torch.tensor([0.3, -0.3])
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    return DiagonalGaussian.isotropic(weights, scale), weights


@pytest.mark.parametrize("which", [0, 1], ids=["a Gaussian", "a network"])
def test_training_on_the_excess_resumes_to_the_same_bits(tmp_path, monkeypatch, which):
    over = earlier()[which]
    how = {"excess": Excess(over, 0.5), "n": 900, "annealing": 0.5, "kl_weight": 0.3}
    whole, _ = fit(**how)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            fit(tmp_path / "posterior.pt", **how)
    with pytest.raises(ValueError, match="other settings"):
        fit(tmp_path / "posterior.pt", **how | {"excess": Excess(over, 0.25)})
    assert fit(tmp_path / "posterior.pt", **how)[0].sha256() == whole.sha256()


def test_without_weight_the_excess_is_the_direct_bound():
    """At gamma = 0 the step before is drawn and does not matter."""
    plain, _ = fit()
    of_excess, _ = fit(excess=Excess(earlier()[0], 0.0))
    for name, value in plain.mean.items():
        torch.testing.assert_close(of_excess.mean[name], value, rtol=1e-4, atol=1e-5)


def test_the_bound_by_way_of_the_step_before_goes_down():
    from genbounds.models.pairs import count_pairs
    from genbounds.pac_bayes import recursive_step

    before = earlier()[0]
    posterior, prior = fit(excess=Excess(before, 0.5), epochs=8)
    data, model, indices = problem(), network().eval(), np.arange(400)

    def bound(gaussian):
        pair = [one.to("cpu", torch.float32) for one in (gaussian, before)]
        counts = np.sum([count_pairs(model, *pair, data, indices, number=k, seed=5) for k in range(10)], axis=0) / 4000
        return recursive_step(0.3, 0.5, 1 - counts[1], counts[2:].sum(), counts[2], gaussian.kl(prior), 400, 0.05)

    assert bound(posterior) < bound(prior) - 0.05


def test_less_weight_and_annealing_move_a_posterior_further():
    plain, prior = fit()
    assert fit(kl_weight=0.1)[0].kl(prior) > 1.2 * plain.kl(prior)
    assert fit(n=4000)[0].kl(prior) > 1.2 * plain.kl(prior)
    assert fit(annealing=1.0)[0].kl(prior) > 1.05 * plain.kl(prior)


def test_an_excess_has_a_weight():
    with pytest.raises(ValueError, match="gamma must be in"):
        Excess(earlier()[0], 1.5)


@pytest.mark.parametrize("objective", ["maurer", "quadratic"])
def test_the_bound_goes_down(objective):
    from genbounds.models.passes import count_errors_fresh_draws
    from genbounds.pac_bayes import maurer

    posterior, prior = fit(objective=objective, epochs=8)
    data, model, indices = problem(), network().eval(), np.arange(400)

    def bound(gaussian):
        mean, scale = gaussian.to("cpu", torch.float32)
        counts = [count_errors_fresh_draws(model, mean, scale, data, indices, number=k, seed=5) for k in range(10)]
        return maurer(sum(counts) / 4000, gaussian.kl(prior), 400, 0.05)

    assert bound(posterior) < bound(prior) - 0.05
    assert posterior.kl(prior) > 1


def test_a_surrogate_risk_of_zero_does_not_stop_training():
    # Logits so far apart that every cross-entropy is exactly zero in float32.
    data, model = problem(), nn.Linear(3, 2, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1e3] * 3, [1e3] * 3]))
    data = TensorData(data.inputs, model(data.inputs).argmax(1), "separated")
    start = DiagonalGaussian.isotropic(dict(model.named_parameters()), 1e-3)
    settings = PosteriorTraining(epochs=1, batch_size=16)
    posterior = train_posterior(model, start, start, data, np.arange(20), settings, log_term=6.0, seed=0)
    assert torch.isfinite(posterior.mean["weight"]).all()


def test_a_vacuous_start_does_not_stop_training():
    data, model = problem(), network().eval()
    start = DiagonalGaussian.isotropic(dict(model.named_parameters()), 0.1)
    far = DiagonalGaussian.isotropic({name: value + 100 for name, value in start.mean.items()}, 0.1)
    settings = PosteriorTraining(epochs=1, batch_size=64)
    assert train_posterior(model, far, start, data, np.arange(400), settings, log_term=6.0, seed=0).kl(far) > 1e6


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        (NetworkTraining, {"epochs": -1}, "epochs"),
        (NetworkTraining, {"batch_size": 0}, "batch_size"),
        (NetworkTraining, {"noise": -0.1}, "noise"),
        (PosteriorTraining, {"epochs": 1.5}, "epochs"),
        (PosteriorTraining, {"batch_size": 0}, "batch_size"),
        (PosteriorTraining, {"kl_weight": -1.0}, "kl_weight"),
        (PosteriorTraining, {"annealing": 1.5}, "annealing"),
        (PosteriorTraining, {"objective": "mauer"}, "objective must be one of maurer, quadratic"),
    ],
)
def test_impossible_settings_are_refused(settings, changes, words):
    with pytest.raises(ValueError, match=words):
        settings(**changes)


def test_training_kl_is_the_kl():
    posterior, prior = fit()
    mean, scale = posterior.to("cpu", torch.float32)
    prior_mean, prior_scale = prior.to("cpu", torch.float32)
    assert float(_kl(mean, scale, prior_mean, prior_scale, ())) == pytest.approx(posterior.kl(prior), rel=1e-4)


def test_kl_with_a_free_scale_is_the_least_over_scales():
    posterior, prior = fit(free=True)
    mean, scale = posterior.to("cpu", torch.float32)
    prior_mean, prior_scale = prior.to("cpu", torch.float32)
    least = float(_kl(mean, scale, prior_mean, prior_scale, [list(mean)]))
    values = [posterior.kl(DiagonalGaussian.isotropic(prior.mean, s)) for s in np.geomspace(1e-2, 3, 4000)]
    assert min(values) == pytest.approx(least, rel=1e-3)
    assert math.isfinite(least)


def test_kl_with_a_free_scale_for_each_parameter_is_the_least_over_their_product():
    posterior, prior = fit(free=True)
    mean, scale = posterior.to("cpu", torch.float32)
    prior_mean, prior_scale = prior.to("cpu", torch.float32)
    least = float(_kl(mean, scale, prior_mean, prior_scale, [[name] for name in mean]))
    total = 0.0
    for name in mean:
        one = DiagonalGaussian({name: posterior.mean[name]}, {name: posterior.scale[name]})
        total += min(
            one.kl(DiagonalGaussian.isotropic({name: prior.mean[name]}, s)) for s in np.geomspace(1e-2, 3, 2000)
        )
    assert total == pytest.approx(least, rel=1e-3)
    assert least < float(_kl(mean, scale, prior_mean, prior_scale, [list(mean)]))
