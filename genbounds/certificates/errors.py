"""The one error of this room: it says where in a certificate something is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["CertificateError", "at", "shown"]


class CertificateError(ValueError):
    """A certificate that cannot be read or built; says where in the file, and what to do.

    Parameters
    ----------
    path : str
        Place inside the certificate, such as ``claims[1].value``; empty for the whole of it.
    problem : str
        What is wrong there: a clause that follows the path.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'the certificate'} {problem}")
        self.path = path
        self.problem = problem


@contextmanager
def at(place: str) -> Iterator[None]:
    """Put `place` in front of the path of a `CertificateError` raised inside.

    Parameters
    ----------
    place : str
        Where the record being built stands, such as ``claims[1]``.

    Yields
    ------
    None
        The body runs as it is.

    Raises
    ------
    CertificateError
        The error of the body, its path completed.
    """
    try:
        yield
    except CertificateError as error:
        raise CertificateError(f"{place}.{error.path}".rstrip("."), error.problem) from None


def shown(value: object) -> str:
    """Show a value in an error, shortened.

    Parameters
    ----------
    value : object
        What was found.

    Returns
    -------
    str
        Its representation, at most 60 characters.
    """
    full = repr(value)
    return full if len(full) <= 60 else f"{full[:57]}..."
