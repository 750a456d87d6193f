"""Every error Mimamori raises on purpose, in three kinds that are treated differently.

    MimamoriError
    ├── RecordError          a bad record: becomes a dead letter with `reason`, the stream goes on      worker
    ├── RetryableError       a passing fault: nothing was committed; back off, rewind, try again        worker
    └── FatalError           nothing sensible can follow: one clear line, non-zero exit
        ├── SettingsError        a setting is wrong or missing
        ├── TaskError            a task's YAML, or a file of messages or examples, is wrong
        ├── BundleError          a bundle or recipe is missing, altered or made for something else
        ├── DeviceError          what would really run is not what the settings ask for
        ├── BrokerError          Kafka cannot be reached, a topic is missing, this worker was fenced    worker
        ├── ExportError          a model cannot be exported, or its parity gate failed                  export
        └── SandboxError         the local Kafka or Redis cannot be started                           mimamori

Those that name a package are defined in its `errors.py`, all others here.

Which of them an engine raises does not decide what its failure means: whatever it was, what fails is read in
halves, and only an engine that can read nothing any more stops the worker (`worker/stream/bisection.py`).

A message says what is wrong, where, and what to do, in one line. It never carries message text.
"""

from typing import Final


class MimamoriError(Exception):
    """The root: catch this at the edge (the command line, the top of a thread)."""

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
