"""The settings that say who may use the desk, and how they are known."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from pydantic_settings import NoDecode

Names = Annotated[frozenset[str], NoDecode]


class AccessSettings(BaseModel):
    """A part of `ReviewSettings`."""

    access: Literal["local"] = Field(
        default="local",
        description="local: whoever sits at this machine types a name, has every role, and the desk listens "
        "on loopback alone",
    )
    session_idle_minutes: float = Field(
        default=60, gt=0, description="A person who asks nothing for this long signs in again"
    )
    session_hours: float = Field(default=10, gt=0, description="Longest time between two sign-ins")

    health_host: str = Field(
        default="127.0.0.1", description="Address for probes and metrics (/livez, /readyz, /metrics)"
    )
    health_port: int = Field(
        default=6067, ge=0, le=65535, description="Port for probes and metrics; 0 picks a free one"
    )

    forwarded_hops: int = Field(
        default=0,
        ge=0,
        le=8,
        description="How many proxies before the desk append to X-Forwarded-For, so that the rate limits "
        "count a browser's address and not a proxy's. Any more than there are would let a browser choose",
    )
    requests_per_minute: int = Field(
        default=600, ge=10, description="Most requests of one person; one address has four times as many"
    )
    sign_ins_per_minute: int = Field(default=20, ge=1, description="Most tries to sign in from one address")
