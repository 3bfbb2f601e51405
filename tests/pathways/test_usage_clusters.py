"""The jackknife: exact where it is known to be."""

import math

import numpy as np
import pytest

from genbounds.pathways.usage.clusters import jackknife_error, ratio, without_bias


def test_the_jackknife_takes_the_bias_of_the_plug_in_variance_off_exactly():
    values = np.random.default_rng(0).gamma(1.0, size=7)
    without = np.array([np.delete(values, i).var() for i in range(7)])
    assert without_bias(float(values.var()), without) == pytest.approx(values.var(ddof=1), rel=1e-12)
    means = [np.delete(values, i).mean() for i in range(7)]
    assert jackknife_error(means) == pytest.approx(values.std(ddof=1) / math.sqrt(7), rel=1e-12)


def test_what_one_sample_alone_defines_has_no_error():
    value, error = ratio([0.1, 0.2, 0.3], [0.0, 0.0, 1.0])
    assert value == pytest.approx(0.6)
    assert math.isnan(error)
    assert math.isnan(without_bias(1.0, np.array([1.0])))
