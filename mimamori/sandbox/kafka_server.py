"""A real Apache Kafka on this machine: one KRaft node that is broker and controller in one process.

It is made for development, the demo and the tests: it listens on loopback only, without TLS, has a heap of
512 MB, and keeps one replica of everything. Clients need no credentials unless it is secured: see
`secured.py`. It is not made for production.
"""

import base64
import fcntl
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from mimamori.errors import SandboxError
from mimamori.sandbox import java, kafka_wire
from mimamori.sandbox.class_archive import ClassArchive
from mimamori.sandbox.java import Echo
from mimamori.sandbox.secured import Secured
from mimamori.sandbox.server import HOST, Server, choose_port

PROPERTIES = """\
# Written by `mimamori sandbox` at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=CLIENTS://{host}:{port},CONTROLLER://{host}:{controller_port}{listeners}
advertised.listeners=CLIENTS://{host}:{port}{advertised}
inter.broker.listener.name=CLIENTS
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:{protocol}{protocols}
log.dirs={data}
{security}

# As in production: topics come from definitions, and a record may be large.
auto.create.topics.enable=false
message.max.bytes=8388608
replica.fetch.max.bytes=8388608

# One node holds everything.
default.replication.factor=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

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
        proxied: Mapping[int, int] | None = None,
        secured: Secured | None = None,
    ) -> None:
        """Find Java, the jars (downloaded the first time) and a port. This starts nothing yet.

        `proxied` maps further ports to listen on to the port that the broker advertises to clients of that
        listener. That is the port of a proxy: a client connects to what the broker advertises, and not to the
        address that it bootstrapped from. `secured` makes clients log in, and gives them no right that no ACL
        grants.
        Raises SandboxError: no Java, no jars, or `port` is taken (0 chooses a free one).
        """
        self.port = choose_port(port, "--kafka-port")
        self._java = java.find_java()
        self._classpath = java.kafka_classpath(echo)
        self._archive = ClassArchive(self._java, self._classpath, java.home())
        self._echo = echo
        self._folder = folder
        self._temporary = folder if temporary else None
        self._proxied = dict(proxied or {})
        self._secured = secured
        self._server: Server | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port`, for a client's bootstrap.servers."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and return when it serves clients, groups and transactions. Does nothing where it runs.

        Raises SandboxError: it did not come up. The line names its log and the likely cause.
        """
        if self._server is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        choose_port(self.port, "--kafka-port")
        self._refuse_shared_folder()
        properties = self._write_settings()
        self._format(properties)
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        classes = self._archive.options(self._classes)
        command = self._run("-Xmx512m", *classes, logging, "kafka.Kafka", properties)
        server = Server("Apache Kafka", command, self._log, self._temporary)
        asks = self._secured.admin if self._secured else None
        server.await_ready(lambda: kafka_wire.is_serving(self.port, asks), _cause)
        server.await_ready(lambda: kafka_wire.is_coordinating(self.port, asks), _cause)
        self._server = server

    def check(self) -> None:
        """Raise SandboxError if it has ended by itself."""
        if self._server is not None:
            self._server.check(_cause)

    def stop(self) -> None:
        """Shut it down with SIGTERM, as an operator would. Does nothing where it does not run."""
        if self._server is None:
            return
        if self._archive.is_missing:
            self._echo("Apache Kafka: ending, and preparing quicker starts (once, a few seconds)")
        self._server.stop(grace=60.0)
        self._server = None
        self._archive.keep(self._classes)

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

    def _run(self, *arguments: str | Path) -> list[str | Path]:
        return [self._java, "-XX:+UseSerialGC", "-cp", self._classpath, *arguments]

    def _refuse_shared_folder(self) -> None:
        """Raise SandboxError where another Kafka holds its lock on this folder."""
        lock = self._folder / "log" / ".lock"
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
        protocol = self._secured.protocol if self._secured else "PLAINTEXT"
        controller_port = choose_port(0, "--kafka-port")
        properties.write_text(
            PROPERTIES.format(
                host=HOST,
                port=self.port,
                controller_port=controller_port,
                data=self._folder / "log",
                protocol=protocol,
                security=self._secured.properties if self._secured else "",
                listeners="".join(f",PROXIED{port}://{HOST}:{port}" for port in self._proxied),
                advertised="".join(f",PROXIED{port}://{HOST}:{to}" for port, to in self._proxied.items()),
                protocols="".join(f",PROXIED{port}:{protocol}" for port in self._proxied),
            )
        )
        (self._folder / "log4j2.properties").write_text(LOGGING)
        return properties

    def _format(self, properties: Path) -> None:
        """Format a new data folder with a cluster id; a formatted one is left as it is."""
        if (self._folder / "log" / "meta.properties").exists():
            return
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c", properties)
        command = self._run("-Xmx128m", "-XX:TieredStopAtLevel=1", *self._archive.kept, *tool)
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        if told.returncode:
            log = told.stdout + told.stderr
            self._log.write_text(log)
            raise SandboxError(
                f"Apache Kafka cannot format its data folder: {_cause(log)} (code {told.returncode}); "
                f"its log is {self._log}"
            )


def cluster_id() -> str:
    """A new cluster's id, as Kafka writes it: a UUID in base64, never with a dash in front.

    Kafka's storage tool would take an id that begins with a dash for one of its options. Kafka's own
    `Uuid.randomUuid` draws again for the same reason.
    """
    while True:
        drawn = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not drawn.startswith("-"):
            return drawn


def _cause(log: str) -> str:
    """The likely cause of a failed start, from the end of Kafka's log."""
    for sign, meaning in CAUSES.items():
        if sign in log:
            return meaning
    lines = [line for line in log.splitlines() if "ERROR" in line or "FATAL" in line or "Exception" in line]
    return lines[-1].strip() if lines else "it left no error"
