"""Retry-After in both its forms (RFC 9110, section 10.2.3), as an aware instant in UTC.

The `acme` library gives naive local time, and a wrong one for HTTP dates. Pure.
"""

import datetime as dt
import email.utils
import re

_SECONDS = re.compile(r"[0-9]{1,9}")


def parse(value: str | None, now: dt.datetime) -> dt.datetime | None:
    """The instant that a header names: seconds from `now`, or an HTTP date; None when there is none or it is nonsense."""
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return now + dt.timedelta(seconds=int(value))
    try:
        found = email.utils.parsedate_to_datetime(value)
        # "-0000" makes a naive value; a date without a zone is not HTTP's form, and UTC is what it can mean.
        return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
