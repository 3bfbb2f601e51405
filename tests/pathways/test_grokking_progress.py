"""Restricted and excluded loss against two-dimensional transforms, closed forms and symmetries of the task."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.pathways.grokking.measures import GrokkingMeasures, grokking_measures
from genbounds.pathways.grokking.progress import (
    addition_loss,
    excluded_losses,
    excluded_part,
    restricted_part,
)

few = settings(deadline=None, max_examples=25)
worlds = {"p": st.sampled_from([5, 7, 11, 13]), "seed": st.integers(0, 1000), "data": st.data()}


def drawn(p, seed, data):
    """Return random logits, a symmetric split and key frequencies."""
    generator = np.random.default_rng(seed)
    trained = np.triu(generator.random((p, p)) < 0.6)
    trained |= trained.T
    trained[0, 0], trained[1, 1] = True, False
    keys = data.draw(st.lists(st.integers(1, p // 2), unique=True))
    return 3 * generator.standard_normal((p, p, p)), trained, keys


def pure(p, amplitudes):
    """Return logits sum_k alpha_k cos(w_k (a + b - c))."""
    a, b, c = np.meshgrid(*[np.arange(p)] * 3, indexing="ij")
    return sum(alpha * np.cos(2 * np.pi * k * (a + b - c) / p) for k, alpha in amplitudes.items())


@given(**worlds)
@few
def test_parts_are_those_of_the_two_dimensional_transform(p, seed, data):
    logits, _, keys = drawn(p, seed, data)
    transform = np.fft.fft2(logits, axes=(0, 1))
    kept = np.zeros((p, p, 1))
    for k in keys:
        kept[k, k] = kept[-k, -k] = 1
    waves = np.fft.ifft2(transform * kept, axes=(0, 1)).real
    np.testing.assert_allclose(excluded_part(logits, keys), logits - waves, atol=1e-11)
    kept[0, 0] = 1
    restricted = np.fft.ifft2(transform * kept, axes=(0, 1)).real
    np.testing.assert_allclose(restricted_part(logits, keys), restricted, atol=1e-11)


@given(**worlds)
@few
def test_parts_share_out_the_energy(p, seed, data):
    logits, _, keys = drawn(p, seed, data)
    mean = logits.mean(axis=(0, 1))
    waves = restricted_part(logits, keys) - mean
    rest = excluded_part(logits, keys) - mean
    energy = [np.square(part).sum() for part in (np.broadcast_to(mean, logits.shape), waves, rest)]
    assert np.isclose(sum(energy), np.square(logits).sum(), rtol=1e-12)
    np.testing.assert_allclose(restricted_part(restricted_part(logits, keys), keys), mean + waves, atol=1e-11)
    np.testing.assert_allclose(restricted_part(excluded_part(logits, keys), keys) - mean, 0, atol=1e-11)


@given(**worlds)
@few
def test_losses_by_one_pair_after_the_other(p, seed, data):
    logits, trained, _ = drawn(p, seed, data)
    losses = np.array([
        [-np.log(np.exp(logits[a, b])[(a + b) % p] / np.exp(logits[a, b]).sum()) for b in range(p)] for a in range(p)
    ])
    found = addition_loss(logits, trained)
    assert found.all == pytest.approx(losses.mean())
    assert found.train == pytest.approx(losses[trained].mean())
    assert found.test == pytest.approx(losses[~trained].mean())
    single = [addition_loss(excluded_part(logits, [k]), trained).train for k in range(1, p // 2 + 1)]
    np.testing.assert_allclose(excluded_losses(logits, trained.ravel()), single, rtol=1e-12)


@pytest.mark.parametrize(("p", "amplitudes"), [(11, {2: 3.0, 5: 1.5}), (59, {4: 2.0, 9: 2.0, 20: 1.0, 27: 4.0})])
def test_a_network_that_adds_by_rotations(p, amplitudes):
    logits, keys = pure(p, amplitudes), tuple(amplitudes)
    trained = ~np.eye(p, dtype=bool)
    loss = addition_loss(logits, trained)
    restricted = addition_loss(restricted_part(logits, keys), trained)
    excluded = addition_loss(excluded_part(logits, keys), trained)
    for side in ("all", "train", "test"):
        assert getattr(restricted, side) == pytest.approx(getattr(loss, side), rel=1e-10)
        assert getattr(excluded, side) == pytest.approx(np.log(p), rel=1e-12)
    single = excluded_losses(logits, trained)
    used = np.isin(np.arange(1, p // 2 + 1), keys)
    assert (single[used] > loss.train + 0.01).all()
    np.testing.assert_allclose(single[~used], loss.train, rtol=1e-10)


@given(**worlds)
@few
def test_symmetries_of_the_task(p, seed, data):
    """a -> a + s with c -> c + s, a factor on all three, and an offset of each pair's logits change no loss."""
    logits, trained, keys = drawn(p, seed, data)
    shift, factor = data.draw(st.integers(0, p - 1)), data.draw(st.integers(1, p - 1))
    x = np.arange(p)

    def both(table, split, frequencies):
        return [addition_loss(part(table, frequencies), split) for part in (restricted_part, excluded_part)]

    before = both(logits, trained, keys)
    moved = both(np.roll(logits, (shift, shift), axis=(0, 2)), np.roll(trained, shift, axis=0), keys)
    index = factor * x % p
    renamed = [min(k * factor % p, -k * factor % p) for k in keys]
    scaled = both(logits[np.ix_(index, index, index)], trained[np.ix_(index, index)], renamed)
    offset = both(logits + np.random.default_rng(seed).standard_normal((p, p, 1)), trained, keys)
    for after in (moved, scaled, offset):
        for one, two in zip(before, after, strict=True):
            assert (two.all, two.train, two.test) == pytest.approx((one.all, one.train, one.test), rel=1e-9)


def test_waves_in_a_minus_b_are_no_part_of_it():
    """The reading with 20 terms would keep them: they are products of waves in a and b of a key frequency too."""
    a, b, c = np.meshgrid(*[np.arange(11)] * 3, indexing="ij")
    logits = np.cos(2 * np.pi * 3 * (a - b) / 11) * c
    np.testing.assert_allclose(restricted_part(logits, [3]), 0, atol=1e-12)


def test_a_lookup_table_of_the_training_pairs():
    """Memorised pairs: the excluded loss stays near the training loss, the restricted loss near chance."""
    p = 59
    trained = np.triu(np.random.default_rng(0).random((p, p)) < 0.5)
    trained |= trained.T
    logits = 12.0 * (pure(p, dict.fromkeys(range(1, p // 2 + 1), 2 / p)) + 1 / p) * trained[:, :, None]
    keys = (4, 20, 27)
    record = grokking_measures(logits, trained, {"embedding": np.eye(p)}, frequencies=keys)
    assert record.loss.train < 0.001
    assert record.excluded.train < 0.01
    assert record.restricted.all > 3.0
    adding = grokking_measures(pure(p, dict.fromkeys(keys, 12.0)), trained, {"embedding": np.eye(p)}, frequencies=keys)
    assert adding.excluded.train == pytest.approx(np.log(p))
    assert adding.restricted.all < 0.02


def record():
    generator, x = np.random.default_rng(5), np.arange(13)
    rotation = np.linalg.qr(generator.standard_normal((8, 8)))[0]
    embedding = np.cos(2 * np.pi * np.outer(x, [2, 5]) / 13) @ rotation[:2]
    weights = {"embedding": embedding, "other": generator.standard_normal(3)}
    return grokking_measures(pure(13, {2: 1.0, 5: 2.0}), ~np.eye(13, dtype=bool), weights, readout=embedding)


def test_the_record_survives_json_and_is_flat():
    one = record()
    assert one.frequencies == (2, 5)
    assert GrokkingMeasures.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert one.readout_gini == one.gini
    flat = one.flat()
    assert flat["restricted/all"] == one.restricted.all
    assert flat["max_excluded"] == max(one.single_excluded) > one.loss.train
    assert all(isinstance(value, float) for value in flat.values())
    with pytest.raises(ValueError, match="format must be"):
        GrokkingMeasures.from_json({})


def test_without_key_frequencies_nothing_is_excluded():
    logits = np.random.default_rng(6).standard_normal((7, 7, 7))
    found = grokking_measures(logits, np.eye(7, dtype=bool), {"embedding": np.eye(7)}, frequencies=())
    assert found.excluded == found.loss
    assert found.readout_gini is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: restricted_part(np.zeros((4, 4, 4)), []), "logits must have shape"),
        (lambda: restricted_part(np.zeros((5, 5)), []), "logits must have shape"),
        (lambda: excluded_part(np.zeros((5, 5, 5)), [3]), r"frequencies must be distinct and in \[1, 2\]"),
        (lambda: excluded_part(np.zeros((5, 5, 5)), [1, 1]), "frequencies must be distinct"),
        (lambda: excluded_part(np.full((5, 5, 5), np.inf), [1]), "logits must be finite"),
        (lambda: addition_loss(np.zeros((5, 5, 5)), np.ones((5, 5), bool)), "trained must be booleans"),
        (lambda: addition_loss(np.zeros((5, 5, 5)), np.eye(5)), "trained must be booleans"),
        (
            lambda: grokking_measures(np.zeros((5, 5, 5)), np.eye(5, dtype=bool), {"embedding": np.eye(7)}),
            "embedding must name weights",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
