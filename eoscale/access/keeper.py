"""Keeper: credentials kept good for as long as a process asks for them.

A user's process logs in, and renews what it has while that still works: nobody waits for it, a renewal that
fails replaces nothing, and all that ask at once ask the service once. A process of a cluster does not log
in: it is given what it asks for by another :class:`Holder`, which a run puts in place of this one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from eoscale.access import earthdata, logins, openid, providers
from eoscale.access.attempts import Patience, insist
from eoscale.access.credentials import Credential
from eoscale.access.logins import Archive, Keys, Login, OfflineToken, Password, Token
from eoscale.errors import AccessError, CredentialsError

_logger = logging.getLogger(__name__)

PATIENCE = Patience(attempts=100, longest_pause=5.0)
"""With services that give credentials: jobs wait for them rather than fail."""
_REST = 30.0
"""Seconds for which a service that refused is not asked again, nor a login looked for that is not there."""


class Holder(Protocol):
    """Has the credentials of a process."""

    async def get(self, name: str, refused: Credential | None = None) -> Credential | None:
        """Return the credential of a name that is good now; None where there is no login for it.

        Parameters
        ----------
        name : str
            As :mod:`~eoscale.access.providers` has them.
        refused : Credential, optional
            What a server did not take: another one is wanted.

        Raises
        ------
        CredentialsError
            If there is none that is good, and none can be had.
        AccessError
            If the service that gives it does not answer.
        """


async def obtain(name: str, previous: Credential | None) -> Credential | None:
    """Return a new credential by what login the user has; None without one.

    Raises
    ------
    CredentialsError
        If the login is refused, or cannot give another one than the previous.
    AccessError, Transient
        If the service cannot be reached.
    """
    login = logins.find(name)
    if login is None:
        return None
    made = await _obtained(name, login, previous)
    if previous and made.same(previous):
        raise CredentialsError(
            f"what {login.source} says is refused, as expired or revoked: {providers.how_to_log_in(name)}"
        )
    return made


async def _obtained(name: str, login: Login, previous: Credential | None) -> Credential:
    match login:
        case OfflineToken():
            return await openid.from_offline_token(login)
        case Password() if name == providers.CDSE:
            return await openid.from_password(login, previous)
        case Password():
            return await earthdata.from_password(login)
        case Archive():
            user = logins.find(providers.EARTHDATA)
            return await earthdata.keys(login, sign, user if isinstance(user, Password) else None)
        case Token():
            return Credential(name=name, token=login.token)
        case Keys():
            return Credential(name=name, access_key=login.access_key, secret_key=login.secret_key)


class Keeper:
    """The holder of a process that logs in."""

    def __init__(
        self, obtain: Callable[[str, Credential | None], Awaitable[Credential | None]] = obtain
    ) -> None:
        self._obtain = obtain
        self._held: dict[str, Credential] = {}
        self._absent: dict[str, float] = {}
        """Until when a name is taken to have no login."""
        self._renewals: dict[str, asyncio.Task[Credential | None]] = {}
        self._resting: dict[str, tuple[float, AccessError]] = {}
        """Until when a service that refused is left alone, and why it refused."""

    async def get(self, name: str, refused: Credential | None = None) -> Credential | None:
        """Return the credential of a name, as :class:`Holder` says."""
        if time.monotonic() < self._absent.get(name, 0.0):
            return None
        held = self._held.get(name)
        good = held if held and held is not refused and not held.over else None
        if good and not good.due:
            return good
        until, why = self._resting.get(name, (0.0, None))
        if why and time.monotonic() < until:
            if good:
                return good
            raise type(why)(*why.args)
        renewal = self._renewals.get(name)
        if renewal is None:
            renewal = self._renewals[name] = asyncio.ensure_future(self._renew(name, held, refused))
            renewal.add_done_callback(lambda task: self._renewed(name, task))
        return good or await asyncio.shield(renewal)

    async def _renew(
        self, name: str, held: Credential | None, refused: Credential | None
    ) -> Credential | None:
        # what is only due may be had again as it is; what was refused may not
        previous = held if held is refused or (held and held.refresh) else None
        return await insist(lambda: self._obtain(name, previous), PATIENCE, name)

    def _renewed(self, name: str, task: asyncio.Task[Credential | None]) -> None:
        del self._renewals[name]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            made = task.result()
            if made is None:
                self._absent[name] = time.monotonic() + _REST
            else:
                self._held[name] = made
            self._resting.pop(name, None)
        elif isinstance(error, AccessError):
            self._resting[name] = (time.monotonic() + _REST, error)
            _logger.warning("%s cannot be renewed: %s", name, error)


_holder: Holder = Keeper()


def use(holder: Holder) -> None:
    """Have another holder for this process."""
    global _holder  # noqa: PLW0603  a process has one, as it has one environment
    _holder = holder


async def get(name: str, refused: Credential | None = None) -> Credential | None:
    """Return the credential of a name that this process holds, as :class:`Holder` says."""
    return await _holder.get(name, refused)


async def sign(url: str, refused: Credential | None) -> Credential | None:
    """Return the bearer for a URL, as :data:`eoscale.access.redirects.Sign` says."""
    name = providers.bearer(url)
    return await get(name, refused) if name else None
