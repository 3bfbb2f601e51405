"""What a Gram matrix must be."""

import numpy as np
import pytest

from genbounds.coherence.pairs.gram import Gram


@pytest.mark.parametrize(
    ("products", "message"),
    [
        (np.ones((2, 3)), "square matrix"),
        (np.ones((1, 1)), "two rows or more"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "symmetric"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "products must be"),
        (np.array([[-1.0, 0.0], [0.0, 1.0]]), "squared norms on the diagonal"),
    ],
)
def test_what_is_no_gram_matrix_is_refused(products, message):
    with pytest.raises(ValueError, match=message):
        Gram(products, None, np.arange(len(products)), 5)
