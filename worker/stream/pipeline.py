"""An open bundle with what rules on its scores and keeps them: it screens the messages that go to it."""

from dataclasses import dataclass

from engine.contract import Engine
from engine.policy import Policy
from engine.task import Task
from worker.cache.score_cache import NoCache, ScoreCache


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The engine of one bundle, the policy in force for its task, and the cache of its scores.

    Labels name the bundle by its `fingerprint`. `routing.py` says which messages go to it.
    """

    task: Task
    engine: Engine
    policy: Policy
    fingerprint: str
    cache: ScoreCache = NoCache()  # noqa: RUF009 - it keeps nothing
