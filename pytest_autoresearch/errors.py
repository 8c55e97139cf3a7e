"""The one error that is a user's to mend; everything else is a bug and shows its traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something outside this package is wrong; the message says what, where and how to mend it."""
