"""The HTTP front beside the engine alone: how much of the engine's rate reaches callers.

    python -m bench.front                     64 callers, one text a request, then 16; five rounds of each
    python -m bench.front --rounds 3 --texts 500 --bundle FOLDER
    python -m bench.front --device-ms 5       a simulated device, which takes 5 ms a text and no CPU, as a GPU

In each round the engine first reads all texts in one call, in a process of its own, without a front: the
best that it can do. Then it reads as many at a time as there are callers, which is the most that can wait
where each asks for one text: the difference is what small batches cost, whoever reads them. Then `mimamori
serve`, another process, is asked by as many callers as --concurrency says, each of which waits for its
answer before it asks again. All read the same texts with the same settings, one after the other; the ratio
to the first of the engine's rates is what counts, since rates depend on the machine. The callers are one
process beside the front and take a share of the CPU, which is stated: on a machine of their own, they would
not. CPU time per text is stated too, of the engine alone and of the front, since it depends less on what
else a machine does. The script fails where an answer is missing.
"""

import argparse
import asyncio
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp

from bench.yardstick.corpus import distinct
from bench.yardstick.machine import describe
from export.adapting.shipped import shipped_bundle

START_S = 120.0


@dataclass(frozen=True)
class Round:
    """What one round of callers has measured."""

    rate: float  # texts a second
    p50_ms: float
    p95_ms: float
    callers_cpu: float  # cores
    cpu_ms: float  # of the front, for each text; not a number where the system does not tell


@dataclass(frozen=True)
class Alone:
    """What the engine alone did in one round."""

    rate: float
    cpu_ms: float


def main() -> int:
    """Measure, and print the ratios."""
    options = arguments()
    texts = [json.loads(value or b"")["text"] for _, value in distinct(options.texts)]
    found = describe()
    print(f"{found['cpu']}, {found['cores']} cores, {options.concurrency} callers, {len(texts)} texts")
    sizes: list[int] = options.sizes
    rounds: dict[int, list[Round]] = {size: [] for size in sizes}
    alone: list[Alone] = []
    few: list[Alone] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts))
        front = stack.enter_context(Front(options.bundle, Path(folder), options.device_ms))
        engine = stack.enter_context(Engine(options.bundle, file, options.device_ms))
        asyncio.run(ask(front, texts[: len(texts) // 4], options.concurrency, 1))  # warm
        for number in range(options.rounds):
            alone.append(engine.read())
            few.append(engine.read(options.concurrency))
            for size in sizes:
                rounds[size].append(asyncio.run(ask(front, texts, options.concurrency, size)))
            print(
                f"round {number + 1}: engine alone {alone[-1].rate:.1f}/s, "
                f"{options.concurrency} at a time {few[-1].rate:.1f}/s; "
                + "; ".join(f"{size} a request {rounds[size][-1].rate:.1f}/s" for size in sizes),
                flush=True,
            )
    print(f"engine alone: {statistics.median(one.rate for one in alone):.1f} texts/s")
    shares = [one.rate / best.rate for one, best in zip(few, alone, strict=True)]
    print(
        f"{options.concurrency} texts at a time, without a front: {statistics.median(shares):.3f} of that "
        f"({min(shares):.3f}-{max(shares):.3f}); {statistics.median(one.cpu_ms for one in few):.2f} ms of "
        f"CPU per text against {statistics.median(one.cpu_ms for one in alone):.2f}"
    )
    for size in sizes:
        print(summary(size, alone, rounds[size]))
    return 0


def summary(size: int, alone: Sequence[Alone], rounds: Sequence[Round]) -> str:
    """What is to be known of requests with `size` texts: medians of the rounds, and the ratios' range."""
    pairs = list(zip(rounds, alone, strict=True))
    ratios = [one.rate / engine.rate for one, engine in pairs]
    cpu = [one.cpu_ms - engine.cpu_ms for one, engine in pairs]
    median = statistics.median
    return (
        f"{size} texts a request: {median(ratios):.3f} of the engine's rate "
        f"({min(ratios):.3f}-{max(ratios):.3f}), "
        f"{median(one.rate for one in rounds):.1f} texts/s; answers after "
        f"{median(one.p50_ms for one in rounds):.0f} ms (p50) and "
        f"{median(one.p95_ms for one in rounds):.0f} ms (p95); "
        f"the front takes {median(cpu):.2f} ms of CPU per text ({min(cpu):.2f}-{max(cpu):.2f}) beside the "
        f"engine's {median(one.cpu_ms for one in alone):.2f}; "
        f"callers take {median(one.callers_cpu for one in rounds):.2f} cores"
    )


class Engine:
    """The engine in a process of its own, which reads all texts in one call when asked."""

    def __init__(self, bundle: Path, texts: Path, device_ms: float) -> None:
        lane = ["bench.lanes.simulated_front", str(device_ms), str(texts)]
        if not device_ms:
            lane = ["bench.lanes.offline", str(bundle), str(texts), "--each-line"]
        self._command = [sys.executable, "-m", *lane]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._running = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self.read()  # loads, and warms up
        return self

    def read(self, at_a_time: int = 0) -> Alone:
        """Read all texts once, so many `at_a_time` (0: all). Raises SystemExit: the engine has ended."""
        assert self._running.stdin is not None  # noqa: S101 - both are pipes
        assert self._running.stdout is not None  # noqa: S101
        self._running.stdin.write(f"{at_a_time or 'again'}\n")
        self._running.stdin.flush()
        said = "log"
        while not said.startswith("{"):
            said = self._running.stdout.readline()
            if not said:
                raise SystemExit("the engine has ended: python -m bench.lanes.offline says why")
        found = json.loads(said)
        return Alone(found["rate"], found["cpu_ms"])

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        self._running.communicate()


class Front:
    """`mimamori serve` on a free port."""

    def __init__(self, bundle: Path, folder: Path, device_ms: float) -> None:
        lane = ["mimamori", "serve", "--bundle", str(bundle)]
        self._command = [
            *(sys.executable, "-m"),
            *(["bench.lanes.simulated_front", str(device_ms)] if device_ms else lane),
        ]
        self._log = folder / "front.log"

    def __enter__(self) -> Self:
        own = {"MIMAMORI_FRONT_DEADLINE_S": "300", "MIMAMORI_FRONT_PORT": "0", "MIMAMORI_HEALTH_PORT": "0"}
        with self._log.open("w") as out:
            self._running = subprocess.Popen(self._command, stderr=out, env={**os.environ, **own})
        self.url = f"http://127.0.0.1:{self._port()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._running.terminate()
        self._running.wait()

    def cpu_s(self) -> float:
        """The CPU time that it has taken, in seconds; not a number where the system does not tell."""
        try:
            words = Path(f"/proc/{self._running.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            return math.nan
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def _port(self) -> int:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._running.poll() is None:
            for line in self._log.read_text().splitlines():
                if '"front_started"' in line:
                    return int(json.loads(line)["port"])
            time.sleep(0.1)
        raise SystemExit(f"the front did not start: {self._log.read_text()[-2000:]}")


async def ask(front: Front, texts: Sequence[str], concurrency: int, size: int) -> Round:
    """Have every text screened once, in requests of `size` texts. Raises ValueError: an answer is missing."""
    waits: list[float] = []
    requests = iter([texts[start : start + size] for start in range(0, len(texts), size)])

    async def caller(session: aiohttp.ClientSession) -> None:
        for chunk in requests:
            began = time.perf_counter()
            async with session.post(f"{front.url}/v1/moderations", json={"input": list(chunk)}) as response:
                answer = await response.json()
            if response.status != 200 or len(answer["results"]) != len(chunk):
                raise ValueError(f"status {response.status} for {len(chunk)} texts: {answer.get('error')}")
            waits.append(time.perf_counter() - began)

    began, used, before = time.perf_counter(), _cpu(), front.cpu_s()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(caller(session) for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    ordered = sorted(waits)
    return Round(
        rate=len(texts) / seconds,
        p50_ms=1000 * statistics.median(ordered),
        p95_ms=1000 * ordered[int(0.95 * (len(ordered) - 1))],
        callers_cpu=(_cpu() - used) / seconds,
        cpu_ms=1000 * (front.cpu_s() - before) / len(texts),
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def arguments() -> argparse.Namespace:
    """The command line."""
    home = Path(os.environ.get("MIMAMORI_HOME", "~/.cache/mimamori")).expanduser()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, help="what to measure (default: the shipped stress bundle)")
    parser.add_argument("--texts", type=int, default=1500, help="how many (default: 1500)")
    parser.add_argument("--rounds", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--concurrency", type=int, default=64, help="callers (default: 64)")
    parser.add_argument("--sizes", type=_numbers, default=[1, 16], help="texts a request (default: 1,16)")
    parser.add_argument("--device-ms", type=float, default=0.0, help="simulate a device (default: the model)")
    options = parser.parse_args()
    if options.bundle is None and not options.device_ms:
        options.bundle = shipped_bundle("stress", home / "bundles", lambda *_: None)
    return options


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
