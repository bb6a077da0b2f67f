"""Brokers for a laptop and for tests: one in this process that only speaks the protocol, one that is Apache Kafka."""

from __future__ import annotations

import asyncio
import atexit
import base64
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from paymux.errors import SettingsError
from paymux.sandbox.java import kafka_class_path, runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paymux.sandbox.java import Progress

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 20.0
# Without the second compiler the broker is up after 3 instead of 5 seconds of processor time; loads run faster with it.
SOON: Final = ("-XX:TieredStopAtLevel=1",)
_RD_KAFKA_PRODUCER: Final = 0
_APIVERSIONS_V0: Final = struct.pack(">hhih", 18, 0, 1, -1)

# Runs its arguments as a child. stdin ends however the process that started us dies: then the broker is killed and its
# directory, the first argument, removed. The trap keeps us here until a broker that was told to stop has stopped.
_GUARD: Final = """
home=$1
shift
trap : TERM INT
exec 3<&0
"$@" 3<&- </dev/null &
child=$!
( trap - TERM INT; read -r line <&3; : > "$home/orphaned"; kill -9 $child ) 2>/dev/null &
watch=$!
exec 3<&-
while kill -0 $child 2>/dev/null; do wait $child; done
kill -9 $watch 2>/dev/null
if [ -e "$home/orphaned" ]; then rm -rf "$home"; fi
"""


class EmbeddedBroker:
    """librdkafka's mock cluster in this process: up in 0.1 s, in memory, gone with the process.

    It has transactions in name only: records of open and aborted transactions are visible, and no producer is fenced.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        """`topics` gives each topic's number of partitions."""
        self._library = _librdkafka()
        self._client = _mock_client(self._library)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        for topic, partitions in topics.items():
            self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        self.bootstrap_servers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def close(self) -> None:
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._cluster = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _librdkafka() -> ctypes.CDLL:
    """The library inside confluent-kafka's wheel, found through the extension module that is linked to it."""
    try:
        from confluent_kafka import cimpl
    except ImportError:
        raise SettingsError(
            'The embedded broker needs confluent-kafka. Install paymux with the extra "dev": pip install "paymux[dev]".'
        ) from None
    library = ctypes.CDLL(cimpl.__file__)
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, ()),
        ("rd_kafka_conf_set", ctypes.c_int, (pointer, text, text, text, size)),
        ("rd_kafka_new", pointer, (ctypes.c_int, pointer, text, size)),
        ("rd_kafka_destroy", None, (pointer,)),
        ("rd_kafka_mock_cluster_new", pointer, (pointer, ctypes.c_int)),
        ("rd_kafka_mock_cluster_destroy", None, (pointer,)),
        ("rd_kafka_mock_cluster_bootstraps", text, (pointer,)),
        ("rd_kafka_mock_topic_create", ctypes.c_int, (pointer, text, ctypes.c_int, ctypes.c_int)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    return library


def _mock_client(library: ctypes.CDLL) -> int:
    error = ctypes.create_string_buffer(512)
    conf = library.rd_kafka_conf_new()
    # The handle only carries the cluster; without this it says on stderr that it has no servers to connect to.
    library.rd_kafka_conf_set(conf, b"log_level", b"0", error, len(error))
    client: int | None = library.rd_kafka_new(_RD_KAFKA_PRODUCER, conf, error, len(error))
    if client is None:
        raise SettingsError(f"The embedded broker did not start: {error.value.decode()}")
    return client


class RealBroker:
    """One Apache Kafka node (KRaft, broker and controller) on loopback, as a child process.

    Downloads Kafka the first time. Its data lives in a temporary directory that `close` removes; `kill` and `restart`
    keep it. `properties` are added to the server's own, `java` to the options of its Java: SOON where starting counts
    more than throughput. The methods block; `started` and `closed` do not.
    """

    def __init__(
        self,
        *,
        progress: Progress = lambda _: None,
        properties: Mapping[str, str] | None = None,
        heap: str = "512m",
        java: Sequence[str] = (),
    ) -> None:
        self._progress = progress
        self._options = (f"-Xmx{heap}", "-XX:+UseSerialGC", *java)
        self._java = runtime()
        self._class_path = kafka_class_path(progress)
        self._home = Path(tempfile.mkdtemp(prefix="paymux-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port, controller = free_ports(2)
        self.bootstrap_servers = f"127.0.0.1:{self.port}"
        self._write_properties(controller, properties or {})
        atexit.register(self.close)

    @classmethod
    async def started(
        cls, *, progress: Progress = lambda _: None, properties: Mapping[str, str] | None = None
    ) -> RealBroker:
        """A broker that answers, soon. Raises SettingsError with what is missing."""
        broker = await asyncio.to_thread(cls, progress=progress, properties=properties, java=SOON)
        try:
            await asyncio.to_thread(broker.start)
        except BaseException:
            broker.close()
            raise
        return broker

    async def closed(self) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Raises SettingsError with the broker's last words if it does not come up."""
        if not (self._home / "data" / "meta.properties").exists():
            self._format()
        self._progress(f"Starting Apache Kafka on {self.bootstrap_servers} ...")
        with (self._home / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                [
                    "/bin/sh",
                    "-c",
                    _GUARD,
                    "guard",
                    str(self._home),
                    *self._command("kafka.Kafka", self._properties_file),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: what is in flight is relayed before the broker stops
            )
        self._wait_until_it_answers()
        self._progress("Apache Kafka answers.")

    def stop(self) -> None:
        """Let it shut down in order; killed if that takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same data and port; kills it first if it runs."""
        self.kill()
        self.start()

    def close(self) -> None:
        self.kill()
        atexit.unregister(self.close)
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _properties_file(self) -> str:
        return str(self._home / "server.properties")

    def _write_properties(self, controller: int, extra: Mapping[str, str]) -> None:
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._home / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker may register again only when its old session has ended.
            "broker.session.timeout.ms": "1500",
            "broker.heartbeat.interval.ms": "500",
        }
        for name, value in extra.items():
            # Listeners of a caller's come beside ours.
            lines[name] = f"{lines[name]},{value}" if name in _LISTS else value
        Path(self._properties_file).write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    def _command(self, *arguments: str) -> list[str]:
        return [
            self._java,
            *self._options,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            self._class_path,
            *arguments,
        ]

    def _format(self) -> None:
        # A fixed first byte: an id that begins with a dash would be taken for an option.
        cluster = base64.urlsafe_b64encode(b"p" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        done = subprocess.run(  # noqa: S603  # our own command
            self._command("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._properties_file),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise SettingsError(f"Apache Kafka's storage could not be formatted: {done.stderr[-500:]}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise SettingsError(f"Apache Kafka stopped while starting: {self._last_words()}")
            if _answers(self.port):
                return
            time.sleep(0.1)
        words = self._last_words()
        self.kill()
        raise SettingsError(f"Apache Kafka did not answer within {START_SECONDS:.0f} s: {words}")

    def _last_words(self) -> str:
        return (self._home / "broker.log").read_text(errors="replace")[-800:].strip()

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process, sign)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        finally:
            if process.stdin:
                process.stdin.close()


_LISTS: Final = frozenset({"listeners", "advertised.listeners", "listener.security.protocol.map"})


def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    """The guard leads a process group that holds nothing but itself and the broker."""
    if process.poll() is None:
        os.killpg(process.pid, sign)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _answers(port: int) -> bool:
    """Whether a broker there answers an ApiVersions request, not only accepts."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(_APIVERSIONS_V0)) + _APIVERSIONS_V0)
            return len(connection.recv(4)) > 0
    except OSError:
        return False
