"""Guards: each catches the model it is for, and lets ordinary models pass."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import Dataset

from genbounds.models.datasets import DatasetData
from genbounds.models.examples import DataError, TensorData
from genbounds.models.guards import (
    ModelError,
    StochasticData,
    check_deterministic,
    check_evaluation_mode,
    check_examples_do_not_mix,
    check_finite_outputs,
    check_logits,
    check_repeatable_data,
    infer_device_and_dtype,
)

INPUTS = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, inputs):
        return self.function(self, inputs)


def net():
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))


def test_an_ordinary_model_passes_everything():
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        model, inputs = net().eval().to(dtype), INPUTS.to(dtype)
        check_evaluation_mode(model)
        check_deterministic(model, inputs)
        check_examples_do_not_mix(model, inputs)


def test_training_mode_names_the_modules():
    model = net()
    with pytest.raises(
        ModelError, match=r"6 modules in training mode: 1 \(BatchNorm1d\), 3 \(Dropout\), .* and 1 more"
    ):
        check_evaluation_mode(model)
    model.eval()[3].train()
    with pytest.raises(ModelError, match=r"got 1 modules in training mode: 3 \(Dropout\). Call model.eval\(\)"):
        check_evaluation_mode(model)


def test_a_custom_module_that_reads_the_flag_is_caught():
    model = Lambda(lambda self, x: nn.functional.dropout(x, training=self.training))
    with pytest.raises(ModelError, match=r"Lambda \(Lambda\)"):
        check_evaluation_mode(model)


def test_dropout_in_training_mode_is_not_deterministic():
    with pytest.raises(ModelError, match="same outputs twice, got a difference in"):
        check_deterministic(nn.Dropout(0.5), INPUTS)


def test_sampling_without_a_flag_is_caught():
    model = Lambda(lambda self, x: x + torch.rand_like(x)).eval()
    with pytest.raises(ModelError, match="difference in 9 of 9 examples"):
        check_deterministic(model, INPUTS)


def test_a_model_that_changes_itself_is_caught():
    model = Lambda(lambda self, x: x * 1 + 0 * self.calls.add_(1)).eval()
    with pytest.raises(ModelError, match="new value of the buffer 'calls'"):
        check_deterministic(model, INPUTS)


MIXING = {
    "batch normalisation in training mode": nn.BatchNorm1d(3),
    "standardisation over the batch": Lambda(lambda self, x: (x - x.mean(0)) / x.std(0)),
    "attention over the batch": Lambda(lambda self, x: torch.softmax(x @ x.T, 1) @ x),
    "position in the batch": Lambda(lambda self, x: x + torch.arange(len(x))[:, None]),
    "a fixed batch": Lambda(lambda self, x: x.reshape(9, 3)),
    "a first example that all see": Lambda(lambda self, x: x - x[:1]),
}


@pytest.mark.parametrize("model", MIXING.values(), ids=MIXING)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_mixing_models_are_caught(model, dtype):
    with pytest.raises(ModelError, match=r"each example by itself|batches of any size"):
        check_examples_do_not_mix(model.to(dtype), INPUTS.to(dtype))


def test_mixing_inside_fixed_pairs_is_caught():
    """Halves of eight keep the pairs whole; the reversal does not."""
    model = Lambda(lambda self, x: (x.reshape(-1, 2, 3) - x.reshape(-1, 2, 3)[:, :1]).reshape(-1, 3))
    with pytest.raises(ModelError, match="when the batch is run in reverse order"):
        check_examples_do_not_mix(model, INPUTS[:8])


def test_mixing_needs_different_examples():
    for inputs in (INPUTS[:1], INPUTS[:1].expand(4, -1)):
        with pytest.raises(ModelError, match="at least two different examples"):
            check_examples_do_not_mix(net().eval(), inputs)


def test_a_small_batch_suffices():
    with pytest.raises(ModelError, match=r"batches of any size|each example by itself"):
        check_examples_do_not_mix(nn.BatchNorm1d(3), INPUTS[:2])


def test_nan_outputs_do_not_pass_as_equal():
    with pytest.raises(ModelError, match="by itself"):
        check_examples_do_not_mix(Lambda(lambda self, x: x * float("nan")), INPUTS)


def test_the_forward_given_is_the_one_checked():
    model = net().eval()
    check_deterministic(model, INPUTS, lambda m, x: m(x) * 2)
    with pytest.raises(ModelError, match="same outputs twice"):
        check_deterministic(model, INPUTS, lambda m, x: m(x + torch.rand_like(x)))
    with pytest.raises(ModelError, match="by itself"):
        check_examples_do_not_mix(model, INPUTS, lambda m, x: m(x - x.mean(0)))


class Output:
    logits = INPUTS


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ((INPUTS, INPUTS), "got a tuple for 9 examples. Wrap it to return the tensor of logits alone"),
        (Output(), "got a Output.*its logits"),
        (INPUTS[:4], r"got shape \(4, 3\) for 9"),
        (INPUTS.sum(), r"got shape \(\)"),
    ],
)
def test_outputs_that_are_no_rows(output, message):
    with pytest.raises(ModelError, match=message):
        check_deterministic(Lambda(lambda self, x: output), INPUTS)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(3), r"logits of shape \(3, classes\), got shape \(3,\)"),
        (torch.zeros(3, 1), "two columns"),
        (torch.zeros(2, 5), "got shape"),
        (torch.zeros(3, 4, 2), "Flatten"),
        (torch.zeros(3, 4).long(), "of torch.int64"),
        (torch.zeros(3, 2), "got 2 columns and the target 2"),
    ],
)
def test_logits(outputs, message):
    with pytest.raises(ModelError, match=message):
        check_logits(outputs, torch.arange(3))
    check_logits(torch.zeros(3, 3), torch.arange(3))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_finite_outputs(value):
    outputs = torch.zeros(4, 2)
    check_finite_outputs(outputs)
    outputs[2, 1] = value
    with pytest.raises(ModelError, match="for 1 of 4 examples, the first being example 2"):
        check_finite_outputs(outputs)
    with pytest.raises(ModelError, match="first being example 77"):
        check_finite_outputs(outputs, torch.tensor([5, 6, 77, 8]))


class Augmented(Dataset):
    """Each read is changed with the given probability."""

    def __init__(self, probability):
        self.probability = probability

    def __len__(self):
        return 400

    def __getitem__(self, index):
        change = torch.rand(()) if torch.rand(()) < self.probability else 0.0
        return torch.full((2,), float(index)) + change, 0


@pytest.mark.parametrize("probability", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_random_augmentation_is_recognised(probability, seed):
    torch.manual_seed(seed)
    with pytest.raises(StochasticData, match=r"different one for .* Random augmentation may shape a prior"):
        check_repeatable_data(DatasetData(Augmented(probability), "augmented"), range(400))


def test_augmentation_in_worker_processes_is_recognised():
    torch.manual_seed(0)
    with pytest.raises(StochasticData):
        check_repeatable_data(DatasetData(Augmented(0.5), "augmented", workers=1), range(400))


def test_fixed_data_passes():
    check_repeatable_data(DatasetData(Augmented(0.0), "plain"), range(400))
    check_repeatable_data(DatasetData(Augmented(1.0), "unused"), [])
    check_repeatable_data(TensorData(INPUTS, torch.zeros(9).long(), "held"), range(9))
    assert issubclass(StochasticData, DataError)


def test_device_and_dtype():
    assert infer_device_and_dtype(net().double()) == (torch.device("cpu"), torch.float64)
    assert infer_device_and_dtype(nn.ReLU()) == (torch.device("cpu"), torch.float32)
    mixed = nn.Sequential(nn.Linear(3, 3).bfloat16(), nn.LayerNorm(3))
    assert infer_device_and_dtype(mixed)[1] == torch.bfloat16
    with pytest.raises(ModelError, match="must have weights"):
        infer_device_and_dtype(nn.Linear(2, 2, device="meta"))


def test_device_of_a_gpu_model():
    """A GPU whose tensors have no data."""
    place = torch.device("cuda", 0)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with FakeTensorMode():
        for module in model:
            for name, parameter in list(module.named_parameters()):
                setattr(module, name, nn.Parameter(torch.empty(parameter.shape, device=place)))
    with pytest.raises(ModelError, match=r"got 0.weight on cuda:0, 1.running_mean on cpu"):
        infer_device_and_dtype(model)
    model[1] = nn.ReLU()
    assert infer_device_and_dtype(model) == (place, torch.float32)
