"""The queue: who waits, most urgent first, and the way to the next case."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from review.access import person_of, requires
from review.errors import DecisionRefusedError, TooManyClaimsError
from review.people import Person
from review.queue.order import Filter
from review.web.pages.frame import Frame, see_other
from review.web.pages.shown import address

PAGE: Final = 20
MAX_DIGITS: Final = 9
SAID: Final = ("skipped", "handed", "discarded")
