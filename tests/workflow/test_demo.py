"""The demonstration: roles never overlap, more examples prove more, sizes are checked."""

import pytest

from genbounds.certificates import verify

pytest.importorskip("sklearn", reason="the demonstration certifies scikit-learn's digits")


def test_more_examples_prove_more(tmp_path):
    from genbounds.workflow.demo import demonstrate

    small, large = demonstrate(tmp_path, sizes=(60, 300), delta=0.05)
    assert [certificate.sample.roles["bound"].count for certificate in (small, large)] == [30, 150]
    for certificate in (small, large):
        assert verify(certificate).ok
        assert certificate.sample.roles["test"].count == 1797 - 300
        assert certificate.ledger.delta == 0.05
        assert certificate.prior["scale"]["chosen"] == "fixed"
    assert large.value < small.value
    assert large.value < 0.5


@pytest.mark.parametrize("sizes", [(), (10,), (100, 1797)])
def test_sizes_are_checked(tmp_path, sizes):
    from genbounds.workflow.demo import demonstrate

    with pytest.raises(ValueError, match="sizes must be numbers from 20 to 1700"):
        demonstrate(tmp_path, sizes=sizes)
