"""Finds out why Kafka does not let this desk in, where it gets no further than the connection."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka.conn import create_conn  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # same
from aiokafka.protocol.admin import ApiVersionRequest  # type: ignore[import-untyped]  # same

from review.kafka.clients import client_settings
from review.kafka.tokens import NoTokenError
from review.settings import ENV_PREFIX, ReviewSettings
from schemas.access import host_of
from schemas.refusals import line_for, probe, reason_of

ANSWER_S: Final = 1.0


async def why_not(settings: ReviewSettings) -> str | None:
    """One line; None where it is not TLS and not the login, as where nobody answers. Raises DeskError.

    It makes connections of its own: aiokafka's client says no more than that there is none.
    """
    context = settings.ssl_context()
    if found := await asyncio.to_thread(probe, settings.bootstrap, context):
        server, reason = found
        return line_for(reason, settings, ENV_PREFIX, server)
    if not settings.has_sasl:
        return None
    given = client_settings(settings)
    del given["bootstrap_servers"]
    for server in settings.bootstrap.split(","):
        with suppress(OSError, TimeoutError, ValueError):
            try:
                async with asyncio.timeout(settings.connect_seconds):
                    connection = await create_conn(host_of(server), int(server.rpartition(":")[2]), **given)
                    refused = settings.sasl_mechanism == "OAUTHBEARER" and not await _answers(connection)
                connection.close()
                if refused:
                    return line_for("token", settings, ENV_PREFIX, server.strip())
            except NoTokenError as error:
                return " ".join(map(str, error.args))
            except KafkaError as error:
                if why := reason_of(f"{type(error).__name__} {error}"):
                    return line_for(why, settings, ENV_PREFIX, server.strip())
    return None


async def _answers(connection: Any) -> bool:
    """Whether Kafka lets it go on: a bad token is answered by a challenge, which aiokafka does not see."""
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await connection.send(ApiVersionRequest())
    except (KafkaError, TimeoutError):
        return False
    return not answer.error_code
