"""The demonstration: roles never overlap, more examples prove more, the number of examples is checked."""

import pytest

from genbounds.certificates import verify

pytest.importorskip("sklearn", reason="the demonstration certifies scikit-learn's digits")


def test_more_examples_prove_more(tmp_path):
    from genbounds.workflow.demo import demonstrate

    certificates = demonstrate(tmp_path, examples=300, delta=0.05)
    assert [certificate.sample.roles["bound"].count for certificate in certificates] == [10, 20, 40, 80, 150]
    for certificate in certificates:
        assert verify(certificate).ok
        assert certificate.sample.roles["test"].count == 1797 - 300
        assert certificate.ledger.delta == 0.05
        assert certificate.prior["scale"]["chosen"] == "fixed"
    assert certificates[-1].value < certificates[0].value
    assert certificates[-1].value < 0.5


@pytest.mark.parametrize("examples", [0, 149, 1701])
def test_the_number_of_examples_is_checked(tmp_path, examples):
    from genbounds.workflow.demo import demonstrate

    with pytest.raises(ValueError, match="examples must be from 150 to 1700"):
        demonstrate(tmp_path, examples=examples)
