"""What the labels of metrics may hold beyond the words of events: small closed sets."""

from typing import Literal

CacheResult = Literal["local", "redis", "miss"]
ResetReason = Literal["retention", "made_again", "truncated"]
Station = Literal["screener", "outbox"]
