"""A real Apache Kafka on this machine: a KRaft node that is broker and controller in one process.

It is made for development, the demo and the tests: it listens on loopback only, and has a heap of 512 MB.
Alone it keeps one replica of everything; `kafka_cluster.py` runs several. Clients need no credentials unless
it is secured: see `secured.py`, and `encrypted.py` for its listeners with TLS. It is not made for production.
"""

import fcntl
import subprocess
from collections.abc import Callable
from pathlib import Path

from mimamori.errors import SandboxError
from mimamori.sandbox import java, kafka_wire
from mimamori.sandbox.class_archive import ClassArchive
from mimamori.sandbox.encrypted import Encrypted
from mimamori.sandbox.java import Echo
from mimamori.sandbox.node import Node, cluster_id
from mimamori.sandbox.secured import Secured
from mimamori.sandbox.server import HOST, Server, choose_port

PROPERTIES = """\
# Written by `mimamori sandbox` at each start.
{node}log.dirs={data}

# As in production: topics come from definitions, and a record may be large.
auto.create.topics.enable=false
message.max.bytes=8388608
replica.fetch.max.bytes=8388608

# Quick: fewer internal partitions to create and load, no wait for more members of a group, short
# sessions allowed, a killed broker taken back after 3 s (not 9), dead transactions aborted soon after
# their timeout, a small cleaner buffer.
offsets.topic.num.partitions=8
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
"""

LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = OUT
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c: %m%n
"""

CAUSES = {
    "Address already in use": "its port was taken by another program meanwhile",
    "Failed to acquire lock": "another Kafka is using this data folder",
    "No space left on device": "the disk is full",
    "insufficient memory": "there is not enough memory (it needs about 600 MB)",
    "OutOfMemoryError": "it ran out of its 512 MB of memory",
    "UnsupportedClassVersionError": "this Java is too old for it",
    "ClassNotFoundException": "KAFKA_HOME holds no Kafka 4",
    "Invalid cluster.id": "the data folder belongs to another cluster",
}


class KafkaServer:
    """Apache Kafka in `folder`, which keeps its data between runs unless `temporary`."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        temporary: bool,
        echo: Echo,
        node: Node | None = None,
        secured: Secured | None = None,
        keys: Path | None = None,
    ) -> None:
        """Find Java, the jars (downloaded the first time) and a port. This starts nothing yet.

        `node` says which broker of a cluster this is; without one it is alone. `secured` makes clients log
        in, and gives them no right that no ACL grants; alone it then listens with TLS too. `keys` is a JWKS
        of whoever signs tokens for OAUTHBEARER.
        Raises SandboxError: no Java, no jars, or `port` is taken (0 chooses a free one).
        """
        self.port = choose_port(port, "--kafka-port")
        self._java = java.find_java()
        self._classpath = java.kafka_classpath(echo)
        self._archive = ClassArchive(self._java, self._classpath, java.home())
        self._echo = echo
        self._folder = folder
        self._temporary = folder if temporary else None
        self._node = node
        self._secured = secured
        self.encrypted = Encrypted.make(folder, keys) if secured and not node else None
        self._server: Server | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port`, for a client's bootstrap.servers."""
        return f"{self.host}:{self.port}"

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self._node.host if self._node else HOST

    @property
    def logs(self) -> Path:
        """The folder of what it keeps."""
        return self._folder / "log"

    @property
    def runs(self) -> bool:
        """Whether it was started, and not stopped or killed since."""
        return self._server is not None

    def start(self) -> None:
        """Start it, and return when it serves clients, groups and transactions. Does nothing where it runs.

        Raises SandboxError: it did not come up. The line names its log and the likely cause.
        """
        if self._server is None:
            self.launch()
            self.await_ready()

    def launch(self) -> None:
        """Start its process, and do not wait for it. Raises SandboxError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        choose_port(self.port, "--kafka-port")
        self._refuse_shared_folder()
        properties = self._write_settings()
        self._format(properties)
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        classes = self._archive.options(self._classes)
        told = self.encrypted.options if self.encrypted else []
        command = self._run("-Xmx512m", *classes, *told, logging, "kafka.Kafka", properties)
        within = list(self._node.within) if self._node else []
        self._server = Server("Apache Kafka", [*within, *command], self._log, self._temporary)

    def await_ready(self, brokers: int = 1) -> None:
        """Wait until it knows so many brokers, and serves clients, groups and transactions.

        Raises SandboxError: it did not come up, and does not run any more.
        """
        asks = self._secured.admin if self._secured else None
        for is_ready in (
            lambda: kafka_wire.is_serving(self.port, asks, brokers, host=self.host),
            lambda: kafka_wire.is_coordinating(self.port, asks, alone=self._node is None, host=self.host),
        ):
            self._await(is_ready)

    def _await(self, is_ready: Callable[[], bool]) -> None:
        if self._server is None:
            raise SandboxError("this Kafka does not run: start it")
        try:
            self._server.await_ready(is_ready, _cause)
        except BaseException:
            self._server = None
            raise

    def check(self) -> None:
        """Raise SandboxError if it has ended by itself."""
        if self._server is not None:
            self._server.check(_cause)

    def ask_to_end(self) -> None:
        """Send SIGTERM, and do not wait; `stop` does."""
        if self._server is not None:
            self._server.ask_to_end()

    def stop(self) -> None:
        """Shut it down with SIGTERM, as an operator would. Does nothing where it does not run."""
        if self._server is None:
            return
        if self._archive.is_missing:
            self._echo("Apache Kafka: ending, and preparing quicker starts (once, a few seconds)")
        self._server.stop(grace=60.0)
        self._server = None
        self._archive.keep(self._classes)

    @property
    def pid(self) -> int:
        """The id of its process. Raises SandboxError: it does not run."""
        if self._server is None:
            raise SandboxError("this Kafka does not run: start it")
        return self._server.pid

    def await_end(self, within_s: float) -> None:
        """Wait until it ends by itself, and kill it after `within_s` seconds."""
        if self._server is not None:
            self._server.await_end(within_s)
            self._server = None

    def kill(self) -> None:
        """Kill it with SIGKILL, as a crash would. Does nothing where it does not run."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    @property
    def _log(self) -> Path:
        return self._folder / "kafka.log"

    @property
    def _classes(self) -> Path:
        return self._folder / "classes.aot"

    @property
    def _cluster_id(self) -> str:
        return self._node.cluster_id if self._node else cluster_id()

    def _run(self, *arguments: str | Path) -> list[str | Path]:
        return [self._java, "-XX:+UseSerialGC", "-cp", self._classpath, *arguments]

    def _refuse_shared_folder(self) -> None:
        """Raise SandboxError where another Kafka holds its lock on this folder."""
        lock = self.logs / ".lock"
        if not lock.exists():
            return
        with lock.open("r+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SandboxError(
                    f"{self._folder} is in use by another Kafka: end that one, or name another folder"
                ) from None

    def _write_settings(self) -> Path:
        properties = self._folder / "server.properties"
        properties.touch(mode=0o600)
        if self.encrypted:
            self.encrypted.write()
        node = (self._node or Node.alone()).settings(self.port, self._secured, self.encrypted)
        properties.write_text(PROPERTIES.format(node=node, data=self.logs))
        (self._folder / "log4j2.properties").write_text(LOGGING)
        return properties

    def _format(self, properties: Path) -> None:
        """Format a new data folder with a cluster id; a formatted one is left as it is."""
        if (self.logs / "meta.properties").exists():
            return
        tool = ("kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", properties)
        command = self._run("-Xmx128m", "-XX:TieredStopAtLevel=1", *self._archive.kept, *tool)
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        if told.returncode:
            log = told.stdout + told.stderr
            self._log.write_text(log)
            raise SandboxError(
                f"Apache Kafka cannot format its data folder: {_cause(log)} (code {told.returncode}); "
                f"its log is {self._log}"
            )


def _cause(log: str) -> str:
    """The likely cause of a failed start, from the end of Kafka's log."""
    for sign, meaning in CAUSES.items():
        if sign in log:
            return meaning
    lines = [line for line in log.splitlines() if "ERROR" in line or "FATAL" in line or "Exception" in line]
    return lines[-1].strip() if lines else "it left no error"
