"""Credentials: what a request is signed with, for a while.

Other code names a credential and never holds one, so that nothing that is pickled, logged or shown contains
any.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import inf
from typing import NoReturn

_DUE = 0.75
"""Of a lifetime, after which a credential is renewed."""
_TOLD = ("name", "token", "access_key", "secret_key", "session")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Credential:
    """A bearer, or keys of S3, that are good for a while. It cannot be pickled.

    Examples
    --------
    >>> Credential(name="maap", token="s3cr3t", lifetime=300)
    <Credential maap>
    >>> import pickle
    >>> pickle.dumps(Credential(name="maap", token="s3cr3t"))
    Traceback (most recent call last):
    TypeError: a credential does not travel: name it, and the process that needs it is given it
    """

    name: str
    token: str = ""
    scheme: str = "Bearer"
    """Of the header (RFC 9110, 11.1)."""
    access_key: str = ""
    secret_key: str = ""
    session: str = ""
    refresh: str = ""
    """What the next one is had for, where it does. It is not :meth:`told`."""
    lifetime: float = inf
    """Seconds from when it was obtained."""
    obtained: float = field(default_factory=time.monotonic)

    def __repr__(self) -> str:
        return f"<Credential {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential does not travel: name it, and the process that needs it is given it")

    @property
    def header(self) -> str:
        """Value of the header ``Authorization``."""
        return f"{self.scheme} {self.token}"

    @property
    def due(self) -> bool:
        """Whether it is time to renew it."""
        return self.age >= _DUE * self.lifetime

    @property
    def over(self) -> bool:
        """Whether it is no longer good."""
        return self.age >= self.lifetime

    @property
    def age(self) -> float:
        """Seconds since it was obtained, by a clock that nobody sets."""
        return time.monotonic() - self.obtained

    @property
    def due_in(self) -> float:
        """Seconds until it is time to renew it."""
        return max(0.0, _DUE * self.lifetime - self.age)

    def told(self) -> dict[str, str]:
        """Return what another process needs to sign requests: in clear, to be sent and not kept."""
        return {each: getattr(self, each) for each in _TOLD}

    def same(self, other: Credential) -> bool:
        """Return whether both say the same to a server."""
        return self.told() == other.told()
