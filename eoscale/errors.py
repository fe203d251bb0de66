"""Every error that eoscale raises, grouped by what a caller would do about it.

::

    EoscaleError
    ├── RecipeError (ValueError)               mend the recipe or the arguments
    ├── CatalogError (LookupError)             look again at what was searched or listed
    │   └── IncompleteSearchError              the list would be shorter than the truth
    ├── AccessError (OSError)                  look at network, rights, login
    │   ├── ChangedError                           index the granule again
    │   ├── CredentialsError (PermissionError)     log in
    │   ├── ForbiddenError (PermissionError)       ask for the right, accept the licence
    │   └── ThrottledError (TimeoutError)          come back later
    ├── GranuleError (ValueError)              leave this granule out, or fetch it anew
    │   ├── NotHDF5Error                           another format than expected
    │   ├── CorruptGranuleError                    truncated or damaged
    │   ├── UnsupportedFilterError (NotImplementedError)
    │   ├── MissingVariableError (KeyError)
    │   └── UnsafeGranuleError (PermissionError)   would make a reader touch what it must not
    └── RunError (RuntimeError)                look at the ledger
        ├── ConflictError (FileExistsError)        another job owns the output
        ├── IncompleteRunError                     nothing was published
        └── BudgetError                            more failures, edges or bytes than allowed

Messages say what was got, what was expected and what to do. Errors that belong to a granule carry
its id and the URL without query and credentials.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def scrub(url: str) -> str:
    """Return a URL without user, password, query and fragment: fit for messages and logs.

    Examples
    --------
    >>> scrub("https://me:secret@host/a.h5?X-Amz-Signature=1")
    'https://host/a.h5'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class EoscaleError(Exception):
    """Any error of eoscale."""


class RecipeError(EoscaleError, ValueError):
    """A recipe or an argument says something that cannot be done."""


class CatalogError(EoscaleError, LookupError):
    """A catalogue or a list of files did not give what was asked for."""


class IncompleteSearchError(CatalogError):
    """A search ended before everything that it reported had been received."""


class AccessError(EoscaleError, OSError):
    """A store could not be reached, or answered with something else than what was asked."""


class ChangedError(AccessError):
    """An object is no longer the version that was indexed."""


class CredentialsError(AccessError, PermissionError):
    """There are no credentials, or they are no longer good."""


class ForbiddenError(AccessError, PermissionError):
    """The credentials are good and the right is missing."""


class ThrottledError(AccessError, TimeoutError):
    """The service asks for fewer requests."""


class GranuleError(EoscaleError, ValueError):
    """One granule cannot be used.

    Parameters
    ----------
    message : str
        What was got, what was expected, what to do.
    granule : str, optional
        Id of the granule.
    url : str, optional
        Where it was read; kept without query and credentials.
    """

    def __init__(self, message: str, *, granule: str = "", url: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.granule = granule
        self.url = scrub(url)

    def __str__(self) -> str:
        where = " at ".join(part for part in (self.granule, self.url) if part)
        return f"{where}: {self.message}" if where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the keyword arguments when a worker sends the error to the client."""
        return _rebuild, (type(self), self.message, self.granule, self.url)


def _rebuild(kind: type[GranuleError], message: str, granule: str, url: str) -> GranuleError:
    return kind(message, granule=granule, url=url)


class NotHDF5Error(GranuleError):
    """The file is of another format, or of none."""


class CorruptGranuleError(GranuleError):
    """The file is truncated, or its bytes do not agree with themselves."""


class UnsupportedFilterError(GranuleError, NotImplementedError):
    """A variable is packed by a filter, or in a way, that eoscale does not decode."""


class MissingVariableError(GranuleError, KeyError):
    """The granule does not hold a variable that the recipe asks for."""


class UnsafeGranuleError(GranuleError, PermissionError):
    """Reading the granule would touch other files, or exhaust this machine."""


class RunError(EoscaleError, RuntimeError):
    """A run cannot go on."""


class ConflictError(RunError, FileExistsError):
    """The output exists, or is being made by another job."""


class IncompleteRunError(RunError):
    """A run ended without what it needs to be published."""


class BudgetError(RunError):
    """A stated limit would be passed."""
