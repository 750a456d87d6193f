"""Every error that Mimamori raises on purpose, in three kinds that are treated differently.

    MimamoriError
    ├── RecordError          one record is bad: it becomes a dead letter with `reason`           worker
    ├── RetryableError       a passing fault: nothing was committed; back off, rewind, try again  worker
    └── FatalError           the process cannot go on: one clear line, non-zero exit
        ├── SettingsError        a setting is wrong or missing
        ├── TaskError            a task's YAML, or a file of messages or examples, is wrong
        ├── BundleError          a bundle or recipe is missing, altered or made for something else
        ├── DeviceError          what would really run is not what the settings ask for
        ├── MissingExtraError    a package that only an extra installs is not there
        ├── BrokerError          Kafka cannot be reached, a topic is missing, this worker was fenced    worker
        ├── RegistryError        the schema registry cannot be used, and a start or command needs it    worker
        ├── ExportError          a model cannot be exported, or failed its parity check                 export
        ├── EndpointError        a baseline's endpoint cannot be used, or would cost too much           export
        └── SandboxError         the local Kafka or Redis cannot be started                           mimamori

Errors with a package name are defined in that package's `errors.py`, all others here.

The kind of error that an engine raises does not decide what happens to its batch. Whatever it was, the batch
is read again in halves, and the worker stops only if the engine can read nothing any more
(`worker/stream/bisection.py`).

A message says in one line what is wrong, where, and what to do. It never carries message text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class MimamoriError(Exception):
    """The base class. Catch it at the outermost level (the command line, the top of a thread)."""

    exit_code: Final = 1


class FatalError(MimamoriError):
    """The process cannot go on; the message says what to do."""


class SettingsError(FatalError):
    """A setting is wrong or missing."""


class TaskError(FatalError):
    """A screening task's YAML, or a file of messages or labelled examples, is wrong."""


class BundleError(FatalError):
    """A bundle or recipe is missing, altered, or made for something else."""


class DeviceError(FatalError):
    """What would really run is not what the settings ask for."""


class MissingExtraError(FatalError):
    """What was asked for needs a package that only an extra of Mimamori installs."""

    def __init__(self, what: str, module: str | None, extra: str) -> None:
        """`what` is being done ("exporting"), `module` cannot be imported, `extra` ("export,cpu") has it."""
        # Not by its name: `mimamori` on PyPI is somebody else's program.
        super().__init__(f"{what} needs {module}: in a clone of Mimamori, pip install '.[{extra}]'")


@contextmanager
def extra_for(what: str, extra: str) -> Iterator[None]:
    """Import in this block what only `extra` installs. Raises MissingExtraError: it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, error.name, extra) from None
