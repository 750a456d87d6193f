"""The values that labels of metrics may have, in addition to the words of events. Each is a closed set."""

from typing import Literal

PassedOver = Literal["share", "rate", "rejected"]
CacheResult = Literal["local", "redis", "miss"]
Doubt = Literal["truncated", "obfuscated", "unsupported_language"]
ResetReason = Literal["retention", "made_again", "truncated"]
SchemaAnswer = Literal["found", "unknown", "failed"]
Station = Literal["screener", "outbox"]
