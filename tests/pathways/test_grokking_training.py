"""The task, the mixture and its training: no leak through commutativity, the gate by hand, the same bits again."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from genbounds.pathways.grokking.mixture import ExpertBlock, Mixture, Router
from genbounds.pathways.grokking.modular import modular_addition
from genbounds.pathways.grokking.training import train_mixture


@given(p=st.sampled_from([3, 5, 9, 23]), fraction=st.floats(0.3, 0.9), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_no_unordered_pair_is_on_both_sides(p, fraction, seed):
    task = modular_addition(p, fraction, seed)
    sides = [{tuple(sorted(pair)) for pair in task.pairs[mask].tolist()} for mask in (task.trained, ~task.trained)]
    assert not sides[0] & sides[1]
    assert abs(len(sides[0]) - fraction * p * (p + 1) / 2) <= 0.5 + 1e-9
    assert len(sides[0]) + len(sides[1]) == p * (p + 1) // 2
    assert task.pairs.tolist() == [[a, b] for a in range(p) for b in range(p)]
    assert task.sums.tolist() == [(a + b) % p for a in range(p) for b in range(p)]
    assert len(task) == p * p


def test_a_split_of_ordered_pairs_would_leak():
    """The test of the test: with ordered pairs most test pairs have their mirror image in training."""
    generator = torch.Generator().manual_seed(0)
    task = modular_addition(23, 0.8)
    ordered = torch.zeros(529, dtype=torch.bool)
    ordered[torch.randperm(529, generator=generator)[:423]] = True

    def leaked(trained):
        return (~trained & trained.reshape(23, 23).T.flatten()).sum().item() / (~trained).sum().item()

    assert leaked(task.trained) == 0
    assert leaked(ordered) > 0.6


def test_the_split_is_its_seed():
    one, two, other = (modular_addition(23, 0.7, seed).trained for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    # Every pair has the same chance of being trained on.
    often = torch.stack([modular_addition(5, 0.6, seed).trained for seed in range(400)]).double().mean(0)
    assert (often - 0.6).abs().max() < 5 * (0.24 / 400) ** 0.5


def test_the_router_by_hand():
    generator = torch.Generator().manual_seed(1)
    router = Router(6, 5, 2)
    with torch.no_grad():
        router.weight.copy_(torch.randn(5, 6, generator=generator))
    x = torch.randn(9, 6, generator=generator)
    logits, weights, indices = router(x)
    for row in range(9):
        exact = router.weight.detach().double().numpy() @ x[row].double().numpy()
        gates = np.exp(exact) / np.exp(exact).sum()
        best = np.argsort(-gates)[:2]
        assert indices[row].tolist() == best.tolist()
        np.testing.assert_allclose(weights[row].detach(), gates[best] / gates[best].sum(), rtol=1e-5)
        np.testing.assert_allclose(logits[row].detach(), exact, rtol=1e-4, atol=1e-5)


def test_a_block_by_one_token_and_executed_expert_after_the_other():
    torch_generator = torch.Generator().manual_seed(2)
    block = ExpertBlock(6, 4, 2).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch_generator, dtype=torch.float64))
    x = torch.randn(11, 6, generator=torch_generator, dtype=torch.float64)
    output, balance = block(x)
    logits, weights, indices = block.router(x)
    wanted = x.clone()
    for token in range(11):
        for weight, expert in zip(weights[token], indices[token], strict=True):
            hidden = (x[token] @ block.experts.widened[expert]).clamp(min=0)
            wanted[token] += weight * (hidden @ block.experts.narrowed[expert])
    torch.testing.assert_close(output, wanted)
    shares = torch.bincount(indices.flatten(), minlength=4).double() / 22
    torch.testing.assert_close(balance, 4 * (shares * logits.softmax(-1).mean(0)).sum())


def test_the_balance_is_one_where_gates_are_equal():
    block = ExpertBlock(6, 4, 2)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    assert block(torch.ones(3, 6))[1].item() == pytest.approx(1)


def test_attention_against_torchs():
    model = Mixture(7, 2, width=8, heads=2, seed=3).double()
    pairs = modular_addition(7).pairs
    x = model.embedding[pairs] + model.positions
    heads = [(x @ part).unflatten(-1, (2, 4)).transpose(1, 2) for part in (model.query, model.key, model.value)]
    causal = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(-2)
    torch.testing.assert_close(model.attend(pairs), (x + causal @ model.mixed)[:, -1])


def test_each_router_sees_one_token_for_each_pair():
    model, seen = Mixture(7, 3), []
    handles = [block.router.register_forward_hook(lambda _, args, out: seen.append(out)) for block in model.blocks]
    logits = model(modular_addition(7).pairs)
    for handle in handles:
        handle.remove()
    assert logits.shape == (49, 7)
    assert [(out.logits.shape, out.indices.shape) for out in seen] == [((49, 4), (49, 2))] * 3


def run(seed, **options):
    task = modular_addition(11, seed=seed)
    model = Mixture(11, 3, width=16, seed=seed)
    steps = []
    log = train_mixture(
        model, task, callback=lambda step, _: steps.append((step, model.training)), progress=False, **options
    )
    return model, log, steps


def test_a_training_has_the_same_bits_again_and_others_with_another_seed():
    before = torch.get_rng_state()
    (one, log, steps), (two, again, _), (other, different, _) = (run(seed, steps=12, every=5) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.embedding, other.embedding)
    assert log == again != different
    assert [moment.step for moment in log] == [0, 5, 10, 12]
    assert steps == [(0, False), (5, False), (10, False), (12, False)]


def test_looking_at_the_network_does_not_change_its_training():
    often, seldom = (run(0, steps=12, every=every)[0] for every in (1, 12))
    assert all(torch.equal(a, b) for a, b in zip(often.parameters(), seldom.parameters(), strict=True))


def test_the_numbers_of_a_moment_and_that_memorising_comes_first():
    model, log, _ = run(0, steps=60, every=60)
    task = modular_addition(11, seed=0)
    logits = model(task.pairs).detach()
    right = logits.argmax(-1) == task.sums
    assert log[-1].train_accuracy == pytest.approx(right[task.trained].double().mean().item())
    assert log[-1].test_accuracy == pytest.approx(right[~task.trained].double().mean().item())
    assert log[-1].test_loss == pytest.approx(
        F.cross_entropy(logits[~task.trained], task.sums[~task.trained]).item(), rel=1e-5
    )
    assert log[-1].weight_norm == pytest.approx(
        torch.cat([value.detach().flatten() for value in model.parameters()]).norm().item(), rel=1e-5
    )
    assert log[-1].train_accuracy > log[0].train_accuracy + 0.15 > log[-1].test_accuracy + 0.15


def test_it_stops_where_it_was_asked_to():
    _, log, _ = run(0, steps=500, every=1, until=1e-9)
    assert log[-1].test_accuracy > 0
    assert all(moment.test_accuracy == 0 for moment in log[:-1])


def test_on_another_device():
    model = Mixture(7, 2, width=8)
    with FakeTensorMode(), torch.no_grad():
        for module in model.modules():
            for name, value in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(torch.empty(value.shape, device="cuda", dtype=torch.bfloat16)))
        pairs = torch.zeros(6, 2, dtype=torch.int64, device="cuda")
        logits, balance = model.logits_and_balance(pairs)
        assert (logits.device.type, logits.dtype, balance.device.type) == ("cuda", torch.bfloat16, "cuda")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: modular_addition(10), "modulus must be odd, got 10"),
        (lambda: modular_addition(3, 0.01), "fraction must leave pairs on both sides"),
        (lambda: modular_addition(3, 1.5), "fraction must be strictly between"),
        (lambda: Mixture(7, width=10, heads=4), "heads must divide width"),
        (lambda: Mixture(7, experts=2, executed=3), "executed be at most experts"),
        (lambda: Mixture(7, 0), "blocks must be a whole number of at least 1"),
        (lambda: train_mixture(Mixture(7), modular_addition(7), steps=0), "steps must be a whole number"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_it_memorises_first_and_adds_later():
    task = modular_addition(seed=4)
    log = train_mixture(Mixture(seed=4), task, until=0.95, progress=False)
    memorised = next(moment for moment in log if moment.train_accuracy >= 0.95)
    assert memorised.test_accuracy < 0.5
    assert log[-1].test_accuracy >= 0.95
    assert log[-1].step > memorised.step
