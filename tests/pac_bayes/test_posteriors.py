"""Diagonal Gaussians: KL against an independent evaluation, files that come back to the bit, clear refusals."""

import mpmath
import pytest
import torch

from genbounds.pac_bayes.posteriors import DiagonalGaussian


def gaussian(seed, scale=0.1):
    generator = torch.Generator().manual_seed(seed)
    mean = {"layer.weight": torch.randn(3, 4, generator=generator), "layer.bias": torch.randn(3, generator=generator)}
    return DiagonalGaussian(
        mean, {name: scale + 0.1 * torch.rand(v.shape, generator=generator) for name, v in mean.items()}
    )


def exact_kl(q, p):
    total = mpmath.mpf(0)
    with mpmath.workdps(50):
        for name, mean in q.mean.items():
            rows = zip(
                mean.flatten(),
                q.scale[name].expand_as(mean).flatten(),
                p.mean[name].flatten(),
                p.scale[name].expand_as(mean).flatten(),
                strict=True,
            )
            for a, s, b, t in rows:
                a, s, b, t = (mpmath.mpf(x.item()) for x in (a, s, b, t))
                total += ((s / t) ** 2 - 1 - 2 * mpmath.log(s / t) + ((a - b) / t) ** 2) / 2
    return total


@pytest.mark.parametrize("pair", [(0, 1), (2, 3)])
def test_kl_is_exact_and_rounded_up(pair):
    q, p = gaussian(pair[0]), gaussian(pair[1], 0.3)
    value, truth = q.kl(p), exact_kl(q, p)
    assert truth <= value <= truth * (1 + mpmath.mpf("1e-12"))


def test_kl_does_not_cancel_next_to_the_prior():
    # Summed in float32 this KL comes out as zero: each term is about 1e-8.
    mean = {"w": torch.zeros(100_000)}
    p = DiagonalGaussian(mean, {"w": torch.tensor(0.03)})
    q = DiagonalGaussian(mean, {"w": torch.full((100_000,), 0.03) * (1 + 1e-4)})
    ratio = mpmath.mpf(q.scale["w"][0].item()) / mpmath.mpf(p.scale["w"].item())
    truth = 100_000 * (ratio**2 - 1 - 2 * mpmath.log(ratio)) / 2
    assert truth <= q.kl(p) <= truth * (1 + mpmath.mpf("1e-8"))


def test_kl_of_a_gaussian_to_itself_vanishes():
    assert gaussian(0).kl(gaussian(0)) == 0


def test_isotropic_copies_and_rounds_to_the_dtype():
    mean = {"w": torch.zeros(2)}
    one = DiagonalGaussian.isotropic(mean, 0.1)
    mean["w"].add_(1)
    assert torch.equal(one.mean["w"], torch.zeros(2))
    assert one.scale["w"].item() == torch.tensor(0.1).item()
    assert one.parameters == 2


def test_file_comes_back_to_the_bit(tmp_path):
    q = gaussian(0)
    q.save(tmp_path / "q.safetensors")
    again = DiagonalGaussian.load(tmp_path / "q.safetensors")
    assert again.sha256() == q.sha256()
    assert [path.name for path in tmp_path.iterdir()] == ["q.safetensors"]


def test_fingerprint_sees_every_bit_and_no_order():
    q = gaussian(0)
    backwards = DiagonalGaussian(dict(reversed(q.mean.items())), dict(reversed(q.scale.items())))
    assert backwards.sha256() == q.sha256()
    q.mean["layer.bias"][0] = torch.nextafter(q.mean["layer.bias"][0], torch.tensor(9.0))
    assert backwards.sha256() == q.sha256()  # the tensors are shared
    assert gaussian(0).sha256() != q.sha256()


def test_evaluation_has_one_order_whatever_the_file_has(tmp_path):
    q = gaussian(0)
    backwards = DiagonalGaussian(dict(reversed(q.mean.items())), dict(reversed(q.scale.items())))
    for part in (*q.to("cpu", torch.float32), *backwards.to("cpu", torch.float32)):
        assert list(part) == ["layer.bias", "layer.weight"]


@pytest.mark.parametrize(
    ("mean", "scale", "words"),
    [
        ({"w": torch.zeros(2)}, {"v": torch.ones(2)}, "the same parameters"),
        ({"w": torch.zeros(2)}, {"w": torch.ones(3)}, "no axes or the shape"),
        ({"w": torch.tensor([0.0, torch.nan])}, {"w": torch.ones(2)}, "finite"),
        ({"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 0.0])}, "positive"),
        ({"w": torch.zeros(2)}, {"w": torch.tensor(torch.inf)}, "positive and finite"),
    ],
)
def test_impossible_gaussians_are_refused(mean, scale, words):
    with pytest.raises(ValueError, match=words):
        DiagonalGaussian(mean, scale)


def test_other_parameters_are_refused():
    with pytest.raises(ValueError, match="by name and shape"):
        gaussian(0).kl(DiagonalGaussian.isotropic({"w": torch.zeros(2)}, 1.0))


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "q.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Gaussian saved by genbounds"):
        DiagonalGaussian.load(path)
