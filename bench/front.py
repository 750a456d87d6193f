"""The HTTP front beside the engine alone: how much of the engine's rate reaches callers.

    python -m bench.front                     64 callers, one text a request, then 16; five rounds of each
    python -m bench.front --rounds 3 --texts 500 --bundle FOLDER

In each round the engine first reads all texts in one call, in a process of its own, without a front: the best
that it can do. Then `mimamori serve`, another process, is asked by as many callers as --concurrency says,
each of which waits for its answer before it asks again. Both read the same texts with the same settings, one
after the other; the ratio of the two rates is what counts, since rates depend on the machine. The callers are
one process beside the front and take a share of the CPU, which is stated: on a machine of their own, they
would not. The script exits with 1 where an answer is missing or is not the engine's.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


def main() -> int:
    """Measure, and print the ratios."""
    options = arguments()
    texts = [json.loads(value)["text"] for _, value in distinct(options.texts)]
    found = describe()
    print(f"{found['cpu']}, {found['cores']} cores, {options.concurrency} callers, {len(texts)} texts")
    sizes: list[int] = options.sizes
    alone: list[float] = []
    rounds: dict[int, list[Round]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as folder, front(options.bundle, Path(folder)) as url:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts))
        asyncio.run(ask(url, texts[: len(texts) // 4], options.concurrency, 1))  # warm
        for number in range(options.rounds):
            alone.append(offline(options.bundle, file))
            for size in sizes:
                rounds[size].append(asyncio.run(ask(url, texts, options.concurrency, size)))
            print(
                f"round {number + 1}: engine alone {alone[-1]:.1f}/s; "
                + "; ".join(f"{size} a request {rounds[size][-1].rate:.1f}/s" for size in sizes)
            )
    for size in sizes:
        print(summary(size, alone, rounds[size]))
    return 0


def summary(size: int, alone: Sequence[float], rounds: Sequence[Round]) -> str:
    """One line: the median of the rounds' ratios, the lowest and the highest, and how long callers waited."""
    ratios = [one.rate / rate for one, rate in zip(rounds, alone, strict=True)]
    median = statistics.median
    return (
        f"{size} texts a request: {median(ratios):.3f} of the engine's rate ({min(ratios):.3f}-{max(ratios):.3f}), "
        f"{median(one.rate for one in rounds):.1f} texts/s; answers after "
        f"{median(one.p50_ms for one in rounds):.0f} ms (p50), {median(one.p95_ms for one in rounds):.0f} ms (p95); "
        f"callers take {median(one.callers_cpu for one in rounds):.2f} cores"
    )


def offline(bundle: Path, texts: Path) -> float:
    """The engine's rate with all texts in one call."""
    command = [sys.executable, "-m", "bench.lanes.offline", str(bundle), str(texts)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(said.splitlines()[-1])["rate"])


async def ask(url: str, texts: Sequence[str], concurrency: int, size: int) -> Round:
    """Have every text screened once, in requests of `size` texts. Raises ValueError: an answer is missing."""
    waits: list[float] = []
    requests = iter([texts[start : start + size] for start in range(0, len(texts), size)])

    async def caller(session: aiohttp.ClientSession) -> None:
        for chunk in requests:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/moderations", json={"input": list(chunk)}) as response:
                answer = await response.json()
            if response.status != 200 or len(answer["results"]) != len(chunk):
                raise ValueError(f"status {response.status} for {len(chunk)} texts: {answer.get('error')}")
            waits.append(time.perf_counter() - began)

    began, used = time.perf_counter(), _cpu()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(caller(session) for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    ordered = sorted(waits)
    return Round(
        rate=len(texts) / seconds,
        p50_ms=1000 * statistics.median(ordered),
        p95_ms=1000 * ordered[int(0.95 * (len(ordered) - 1))],
        callers_cpu=(_cpu() - used) / seconds,
    )


@contextmanager
def front(bundle: Path, folder: Path) -> Iterator[str]:
    """`mimamori serve` on a free port; yields its address."""
    log = folder / "front.log"
    own = {"MIMAMORI_FRONT_DEADLINE_S": "120", "MIMAMORI_HEALTH_PORT": "0"}
    command = [sys.executable, "-m", "mimamori", "serve", "--bundle", str(bundle), "--port", "0"]
    with log.open("w") as out, subprocess.Popen(command, stderr=out, env={**os.environ, **own}) as running:
        try:
            yield f"http://127.0.0.1:{_port(log, running)}"
        finally:
            running.terminate()


def _port(log: Path, running: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until and running.poll() is None:
        for line in log.read_text().splitlines():
            if '"front_started"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.1)
    raise SystemExit(f"the front did not start: {log.read_text()[-2000:]}")


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
    options = parser.parse_args()
    if options.bundle is None:
        options.bundle = shipped_bundle("stress", home / "bundles", lambda *_: None)
    return options


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
