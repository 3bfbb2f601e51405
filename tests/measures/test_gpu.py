"""On a CUDA device: the same numbers as on the CPU, in float64."""

import pytest
import torch
from torch import nn

from genbounds.measures import (
    audit,
    convolution_norm,
    curvature,
    falsify,
    head_curvature,
    measure_network,
    noise_radius,
    score_margins,
)
from genbounds.models.data import load_data

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, 30),
            nn.ReLU(),
            nn.Linear(30, 3),
        )).double()


def examples():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, 1, 6, 6, generator=generator, dtype=torch.float64)
    return load_data((x, network().eval()(x).argmax(1)))


WHERE = {"cpu": torch.device("cpu"), "cuda": torch.device("cuda")}


def both(function):
    """Return a result for the CPU and one for the GPU."""
    return tuple(function(network().eval().to(place), place) for place in WHERE.values())


def test_everything_of_the_one_call():
    one, two = both(lambda model, place: measure_network(model, data=examples(), shuffles=2, device=place))
    assert [each.name for each in one] == [each.name for each in two]
    for each, other in zip(one, two, strict=True):
        assert each.value == pytest.approx(other.value, rel=1e-8), each.name


def test_sharpness_curvature_audit_and_falsification_run_there():
    data, double = examples(), torch.float64
    one, two = both(lambda model, place: curvature(model, data, device=place, dtype=double).ends.largest)
    assert one == pytest.approx(two, rel=1e-6)
    one, two = both(lambda model, place: head_curvature(model, data, device=place, dtype=double).trace)
    assert one == pytest.approx(two, rel=1e-10)
    one, two = both(lambda model, place: score_margins(model, data, device=place, dtype=double).tolist())
    assert one == pytest.approx(two, rel=1e-10)
    model = network().eval().to("cuda")
    # The draws come from the device's own generator: other noise, the same law.
    assert noise_radius(model, data, device="cuda", dtype=double).value > 0
    assert convolution_norm(model[0], (1, 6, 6)).value > 0
    assert audit(model, data, device="cuda").moved("path_norm") == ()
    found = falsify(model, data, range(30), lambda *_: 0.0, device="cuda", dtype=double)
    assert found.interval == (0, 0.5)
