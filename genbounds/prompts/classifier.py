"""Classification by the nearest class text: which class's text lies closest to the text in question."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genbounds.models.guards import ModelError
from genbounds.prompts.encoder import TextEncoder
from genbounds.prompts.form import PromptForm

__all__ = ["TIE", "PromptClassifier", "check_encoder", "right"]

#: A class must lead by this much in cosine to be sure whatever batch a text is in: what leads by less is an error.
TIE = 2e-5


def right(rivals: Tensor, own: Tensor) -> Tensor:
    """Say where the right class leads clearly.

    Parameters
    ----------
    rivals : Tensor
        Best score of any other class.
    own : Tensor
        Score of the right class, of a shape that broadcasts.

    Returns
    -------
    Tensor of bool
        True where it leads by more than `TIE`: where rounding cannot turn the prediction.
    """
    return own - rivals > TIE


class PromptClassifier:
    """A text has the class whose own text is nearest to it in the encoder's space.

    Parameters
    ----------
    encoder : TextEncoder
        Encoder that never saw the task's sample.
    form : PromptForm
        Names of the classes and the template.
    prompts : sequence of str
        One prompt if it is shared, else one for each class.

    Attributes
    ----------
    texts : list of str
        Text of each class.
    embeddings : Tensor, shape (classes, d)
        Its unit vector, from the text by itself.
    """

    def __init__(self, encoder: TextEncoder, form: PromptForm, prompts: Sequence[str]) -> None:
        self.encoder, self.form = encoder, form
        self.texts = form.texts(prompts)
        self.embeddings = encoder.embed(self.texts, batch=1)

    def predict(self, texts: Sequence[str]) -> Tensor:
        """Predict classes.

        Parameters
        ----------
        texts : sequence of str
            Texts, each of which is encoded by itself.

        Returns
        -------
        Tensor of int64, shape (len(texts),)
            Numbers of classes in the form; ties go to the smallest.
        """
        return (self.encoder.embed(texts, batch=1) @ self.embeddings.T).argmax(1)

    def errors(self, features: Tensor, targets: Tensor) -> int:
        """Count errors; a right class that does not lead clearly counts as one.

        Parameters
        ----------
        features : Tensor, shape (n, d)
            Unit vectors of the texts, in whatever batches they were made.
        targets : Tensor of int64, shape (n,)
            Their classes.

        Returns
        -------
        int
            At least the errors of `predict`, where batching moves the scores by less than `TIE`.
        """
        scores = features @ self.embeddings.T
        own = scores.gather(1, targets[:, None])
        rivals = scores.scatter(1, targets[:, None], -torch.inf).amax(1, keepdim=True)
        return len(targets) - int(right(rivals, own).sum())


def check_encoder(encoder: TextEncoder, texts: Sequence[str], features: Tensor) -> None:
    """Refuse an encoder whose vector for a text depends on more than the text and a little rounding.

    Parameters
    ----------
    encoder : TextEncoder
        The encoder.
    texts : sequence of str
        A few texts.
    features : Tensor, shape (len(texts), d)
        What it gave for them in batches.

    Raises
    ------
    ModelError
        If it answers differently when asked twice, or a batch moves a vector by more than an eighth of `TIE`.
    """
    alone = encoder.embed(texts, batch=1)
    if not torch.equal(alone, encoder.embed(texts, batch=1)):
        raise ModelError(
            "encoder must give the same vector twice, got a difference. On a GPU, call "
            "torch.use_deterministic_algorithms(True)."
        )
    # A lead is an inner product with a difference of unit vectors: it moves by at most twice as much as the vector.
    gap = float((alone - features).norm(dim=1).max())
    if not gap <= TIE / 8:
        raise ModelError(
            f"encoder must give a text the same vector in a batch as by itself, up to {TIE / 8:g}, got {gap:.2g}. "
            "Evaluate it in float32."
        )
