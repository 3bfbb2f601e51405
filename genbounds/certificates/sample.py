"""Roles of the data: which examples shaped the prior, entered the bound, chose something, or were only tested."""

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.certificates.errors import CertificateError, at
from genbounds.certificates.fields import table, text, whole
from genbounds.certificates.records import keys_of

__all__ = ["ROLES", "Role", "Sample"]

#: prior: shaped the prior. bound: entered the bound. selection: chose something. test: nobody looked before the end.
ROLES = ("prior", "bound", "selection", "test")

#: Unpacked, a role among this many examples takes 256 MiB; more is refused, lest a forged file exhaust memory.
MAX_EXAMPLES = 2**28


@dataclass(frozen=True)
class Role:
    """The examples that have one role.

    Attributes
    ----------
    count : int
        How many there are.
    indices : str
        Which: one bit for each example of the sample (the first in the highest bit of the first byte),
        compressed by zlib, in base64.
    content_sha256 : str
        Fingerprint of the examples themselves: 64 hexadecimal digits.
    """

    count: int
    indices: str
    content_sha256: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", whole("count", self.count))
        text("indices", self.indices)
        if not isinstance(self.content_sha256, str) or not re.fullmatch("[0-9a-f]{64}", self.content_sha256):
            raise CertificateError(
                "content_sha256", f"must be 64 hexadecimal digits in lower case, got {self.content_sha256!r:.80}."
            )

    def members(self, examples: int) -> NDArray[np.bool_]:
        """Unpack the bitmap.

        Parameters
        ----------
        examples : int
            Examples in the whole sample.

        Returns
        -------
        ndarray of bool, shape (examples,)
            True where an example has this role.

        Raises
        ------
        CertificateError
            If the bitmap is damaged or belongs to a sample of another size.
        """
        expected = (examples + 7) // 8
        try:
            compressed = base64.b64decode(self.indices, validate=True)
            stream = zlib.decompressobj()
            packed = stream.decompress(compressed, expected + 1)
        except (binascii.Error, ValueError, zlib.error) as error:
            raise CertificateError(
                "indices", f"must be a bitmap in zlib and base64, but it is damaged: {error}."
            ) from None
        if len(packed) != expected or not stream.eof or stream.unused_data:
            raise CertificateError("indices", f"must hold one bit for each of the {examples:,} examples, and does not.")
        bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
        if bits[examples:].any():
            raise CertificateError("indices", f"marks examples beyond the last of the {examples:,}.")
        return bits[:examples].view(np.bool_)


@dataclass(frozen=True)
class Sample:
    """All examples and the roles they have; an example has one role at most.

    Build one with `Sample.of`, which refuses an overlap. A sample read from a file may be wrong;
    `overlaps` tells.

    Attributes
    ----------
    examples : int
        Size of the whole sample.
    roles : mapping of str to Role
        From role names (see `ROLES`) to the examples that have them.
    """

    examples: int
    roles: Mapping[str, Role]

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", whole("examples", self.examples, lowest=1))
        if self.examples > MAX_EXAMPLES:
            raise CertificateError("examples", f"must be at most {MAX_EXAMPLES:,}, got {self.examples:,}.")
        if not isinstance(self.roles, Mapping):
            raise CertificateError("roles", f"must be a table, got {self.roles!r:.60}.")
        for name, role in self.roles.items():
            if name not in ROLES:
                raise CertificateError(f"roles.{name}", f"is not a role of data. Roles are {', '.join(ROLES)}.")
            if not isinstance(role, Role):
                raise CertificateError(f"roles.{name}", f"must be a Role, got {role!r:.60}. Use Sample.of.")
            with at(f"roles.{name}"):
                role.members(self.examples)
        object.__setattr__(self, "roles", dict(self.roles))

    @classmethod
    def of(cls, examples: int, indices: Mapping[str, ArrayLike], content_sha256: Mapping[str, str]) -> "Sample":
        """Give examples their roles.

        Parameters
        ----------
        examples : int
            Size of the whole sample.
        indices : mapping of str to array_like of int
            From role names to the examples that have them, each in [0, examples), none twice.
        content_sha256 : mapping of str to str
            Fingerprint of each role's examples, 64 hexadecimal digits.

        Returns
        -------
        Sample
            The sample; empty roles are kept.

        Raises
        ------
        CertificateError
            If an index is out of range or stands twice, two roles share an example, or a fingerprint is missing.

        Examples
        --------
        >>> sample = Sample.of(5, {"prior": [0, 1], "bound": [4, 2, 3]}, {"prior": "0" * 64, "bound": "1" * 64})
        >>> sample.roles["bound"].count, sample.indices("bound").tolist()
        (3, [2, 3, 4])
        """
        examples = whole("examples", examples, lowest=1)
        roles = {}
        for name, chosen in indices.items():
            members = np.asarray(chosen)
            if members.size == 0:
                members = members.astype(np.int64)
            if members.ndim != 1 or members.dtype.kind not in "iu":
                raise CertificateError(
                    f"roles.{name}",
                    f"needs a one-dimensional array of whole numbers, got {members.dtype} {members.shape}.",
                )
            if members.size and (members.min() < 0 or members.max() >= examples):
                wrong = members[(members < 0) | (members >= examples)][0]
                raise CertificateError(f"roles.{name}", f"has the index {wrong}, outside 0 to {examples - 1}.")
            marks = np.zeros(examples, dtype=np.bool_)
            marks[members] = True
            if np.count_nonzero(marks) < members.size:
                raise CertificateError(f"roles.{name}", "has an index twice. An example counts once: drop the repeats.")
            if name not in content_sha256:
                raise CertificateError(f"roles.{name}", "has no fingerprint. Pass its content_sha256.")
            packed = base64.b64encode(zlib.compress(np.packbits(marks).tobytes(), 9)).decode("ascii")
            with at(f"roles.{name}"):
                roles[name] = Role(members.size, packed, content_sha256[name])
        sample = cls(examples, roles)
        for first, second, shared in sample.overlaps():
            raise CertificateError(
                f"roles.{second}",
                f"shares {shared.size} examples with {first} (the first is {shared[0]}). Give each example one role.",
            )
        return sample

    def indices(self, role: str) -> NDArray[np.int64]:
        """Return the examples that have a role.

        Parameters
        ----------
        role : str
            Name of the role.

        Returns
        -------
        ndarray of int
            Their indices, ascending.
        """
        return np.flatnonzero(self.roles[role].members(self.examples))

    def overlaps(self) -> list[tuple[str, str, NDArray[np.int64]]]:
        """Find the examples that have two roles.

        Returns
        -------
        list of (str, str, ndarray)
            Each pair of roles that overlap, with the examples they share.
        """
        members = {name: role.members(self.examples) for name, role in self.roles.items()}
        pairs = ((a, b, np.flatnonzero(members[a] & members[b])) for a, b in combinations(members, 2))
        return [(a, b, shared) for a, b, shared in pairs if shared.size]

    def to_json(self) -> dict[str, Any]:
        """Return the sample as JSON carries it.

        Returns
        -------
        dict
            ``examples`` and ``roles``.
        """
        return {"examples": self.examples, "roles": {name: vars(role).copy() for name, role in self.roles.items()}}

    @classmethod
    def from_json(cls, content: Any) -> "Sample":
        """Read a sample.

        Parameters
        ----------
        content : object
            What `to_json` returned.

        Returns
        -------
        Sample
            The sample; its roles may overlap, see `overlaps`.
        """
        content = keys_of(cls, content)
        roles = {}
        for name, role in table("roles", content["roles"]).items():
            with at(f"roles.{name}"):
                roles[name] = Role(**keys_of(Role, role))
        return cls(content["examples"], roles)
