"""The whole way on a real GPU, where there is one."""

import pytest
import torch
from torch import nn

from genbounds.certificates import verify
from genbounds.models.randomness import PerExampleForward, normal_noise, stream
from genbounds.workflow import NetworkTraining, PosteriorTraining, certify, load_predictor, remeasure

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


def network():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


@pytest.mark.parametrize("scheme", ["one per example", "shared"])
def test_certify_and_measure_again(tmp_path, scheme):
    how = {
        "network": NetworkTraining(epochs=3),
        "posterior": PosteriorTraining(epochs=2),
        "passes": 4,
        "scheme": scheme,
        "device": "cuda",
    }
    certificate = certify(network, "digits", out=tmp_path, **how)
    assert verify(certificate).ok
    assert certificate.value < 0.5
    assert remeasure(tmp_path / "certificate.json", network, "digits", device="cuda").ok
    predictor = load_predictor(tmp_path, network)
    predictor.model.to("cuda")
    assert predictor.gibbs(torch.rand(3, 1, 8, 8, device="cuda"), seed=0).device.type == "cuda"


def test_per_example_outputs_are_those_of_the_cpu():
    model = network().eval()
    inputs = torch.rand(6, 1, 8, 8)
    mean = {name: value.detach() for name, value in model.named_parameters()}
    scale = {name: torch.zeros_like(value) for name, value in mean.items()}
    expected = PerExampleForward(model, inputs)(mean, scale, inputs, lambda *shape: torch.zeros(shape))
    on_gpu = network().to("cuda").eval()
    noise = normal_noise(stream(0, "test", device="cuda"), torch.float32)
    forward = PerExampleForward(on_gpu, inputs.to("cuda"))
    ours = forward(
        {name: value.to("cuda") for name, value in mean.items()},
        {name: value.to("cuda") for name, value in scale.items()},
        inputs.to("cuda"),
        noise,
    )
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-4, atol=1e-4)
