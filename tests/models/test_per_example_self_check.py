import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from genbounds.models.guards import ModelError
from genbounds.models.per_example.losses import SingleLosses, batch_loss
from genbounds.models.per_example.self_check import Truth, check_losses_stand_alone, tolerance_of
from genbounds.models.per_example.witness import Witness

CPU = torch.device("cpu")


def truth(squared, tolerance=1e-9, dtype=torch.float64):
    """Gradients of which only the first coordinate is not 0, at two examples, in two parameters."""
    norms = {name: torch.tensor(values, dtype=torch.float64) for name, values in squared.items()}
    totals = {n: torch.stack([v.sqrt().sum(), v.sum() * 0]).to(dtype) for n, v in norms.items()}
    return Truth(torch.ones(2, dtype=torch.float64), norms, totals, tolerance)


def test_an_error_is_relative_to_the_largest_gradient_of_the_parameter():
    found = truth({"a": [4.0, 1.0], "b": [1e6, 1e6]})
    assert found.error("a", torch.tensor([4.0, 1.0]), found.total["a"]) == 0
    assert found.error("a", torch.tensor([4.0, 0.0]), found.total["a"]) == pytest.approx(0.5)
    assert found.error("a", torch.tensor([4.0, 1.0]), 2 * found.total["a"]) == pytest.approx(3 / 2 / 2)
    assert not found.error("a", torch.tensor([4.0, torch.nan]), found.total["a"]) <= 1
    assert not found.error("a", torch.tensor([4.0, 1.0]), found.total["a"] * torch.nan) <= 1


def test_what_is_rounding_against_the_whole_gradient_is_no_error():
    """The bias of attention's keys has no gradient, and what is computed is noise."""
    found = truth({"keys": [1e-34, 2e-34], "rest": [1.0, 2.0]})
    assert found.error("keys", torch.tensor([3e-34, 0.0]), 5 * found.total["keys"]) <= found.tolerance
    assert not found.error("keys", torch.tensor([1e-20, 0.0]), found.total["keys"]) <= found.tolerance
    nothing = truth({"keys": [0.0, 0.0]})
    assert nothing.error("keys", torch.zeros(2), torch.zeros(2)) == 0
    assert nothing.error("keys", torch.ones(2), torch.zeros(2)) == 1


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-9), (torch.float32, 1e-3), (torch.bfloat16, 0.05), (torch.float16, 0.05)],
)
def test_tolerance_follows_the_narrowest_dtype(dtype, tolerance):
    with Witness() as witness:
        torch.ones(2, dtype=torch.float64).to(dtype).double() + 1
    assert tolerance_of(witness.precision, CPU) == tolerance


def test_autocast_shows_in_what_calls_return():
    with torch.autocast("cpu", torch.bfloat16), Witness() as witness:
        functional.linear(torch.ones(2, 2), torch.ones(2, 2)).float()
    assert tolerance_of(witness.precision, CPU) == 0.05


PICKS = {
    "mask": lambda x: x[x > 0],
    "mask among indices": lambda x: x[:, (x > 0).all(dim=0)],
    "nonzero": lambda x: (x > 0).nonzero(),
    "where": lambda x: torch.where(x > 0),
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
}
KEEPS = {
    "slice": lambda x: x[:, 1:],
    "index": lambda x: x[torch.tensor([1, 0])],
    "choice": lambda x: torch.where(x > 0, x, 0),
    "several": lambda x: x.max(dim=1),
}


@pytest.mark.parametrize("name", [*PICKS, *KEEPS])
def test_rows_that_are_picked_by_their_values_are_seen(name):
    with Witness() as witness:
        (PICKS | KEEPS)[name](torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    assert witness.picks_rows == (name in PICKS)


def test_losses_of_examples_add_up_or_are_refused():
    losses = torch.tensor([1.0, 3.0], dtype=torch.float64)
    check_losses_stand_alone(losses, torch.tensor(4.0 + 1e-10), 1e-9)
    check_losses_stand_alone(torch.tensor([1e-17, -1e-17]).double(), torch.tensor(3e-17), 1e-9)
    for wrong in (4.1, torch.nan):
        with pytest.raises(ModelError, match="own losses add up to 4"):
            check_losses_stand_alone(losses, torch.tensor(wrong), 1e-9)


def test_a_loss_has_the_form_of_a_loss():
    outputs, targets = torch.zeros(3, 2), torch.tensor([0, 1, 1])
    assert batch_loss(functional.cross_entropy, outputs, targets).shape == ()
    assert batch_loss(nn.CrossEntropyLoss(reduction="none"), outputs, targets).shape == (3,)
    for wrong in (lambda o, t: o, lambda o, t: o.sum(dim=0), lambda o, t: o.argmax(), lambda o, t: None):
        with pytest.raises(ModelError, match="loss must be a number"):
            batch_loss(wrong, outputs, targets)
    with pytest.raises(ModelError, match="finite"):
        batch_loss(lambda o, t: o.mean() / 0, outputs, targets)


def both_ways(outputs, targets):
    first, second = outputs["a"], outputs["b"][0]
    return functional.cross_entropy(first, targets) + (second.transpose(0, 1) - targets[:, None]).square().mean()


def stubborn(outputs, targets):
    """No vmap: it looks at a value."""
    return both_ways(outputs, targets) if outputs["a"].detach().sum().item() > -1e9 else outputs["a"].sum()


@pytest.mark.parametrize("loss", [both_ways, stubborn])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_losses_of_single_examples_wherever_the_outputs_hold_them(loss, number):
    """Examples along axis 0, along axis 1, and an output without any."""
    generator = torch.Generator().manual_seed(0)
    leaf = torch.randn(number, 4, generator=generator, requires_grad=True)
    targets = torch.randint(4, (number,), generator=generator)

    def answer(rows):
        return {"a": leaf[rows], "b": (leaf[rows].T[:5], torch.zeros(7)), "c": "text"}

    losses = SingleLosses(loss, answer(slice(0, number)), answer(slice(0, 1)), averages=True)
    found = losses(answer(slice(0, number)), targets)
    singles = [loss(answer(slice(i, i + 1)), targets[i : i + 1]) for i in range(number)]
    torch.testing.assert_close(found, torch.stack(singles))
    ours, theirs = (torch.autograd.grad(values.sum(), leaf)[0] for values in (found, torch.stack(singles)))
    torch.testing.assert_close(ours, theirs)


def test_losses_stay_on_one_device():
    with FakeTensorMode(), torch.no_grad():
        outputs, targets = torch.empty(5, 3, device="cuda"), torch.zeros(5, dtype=torch.long, device="cuda")
        losses = SingleLosses(nn.functional.cross_entropy, outputs, outputs.narrow(0, 0, 1), averages=True)
        found = losses(outputs, targets)
        assert found.device.type == "cuda"
        assert found.shape == (5,)
