"""Runs the commands of a page, in order, in one shell's environment, as somebody who reads it would.

    ```sh … ```                     is run by bash; a page is in Markdown, and Sybil finds its blocks
    ```text … ```                   right below: what the block above must have printed; … stands for anything
    <!-- not run: why -->           above a block that is not run
    <!-- exit code: 3 -->           above a block that ends with that code and not with 0, as its answer is
    <!-- meanwhile: something -->   something happens that a page cannot type: the test says how

`mimamori run`, `run --shadow` and `review` go on in the background. Where one of them runs already, it is
ended by SIGTERM first, as in a rolling restart. Topics have the prefix of the stage, whatever the page says.
"""

import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer
from sybil.typing import Lexer, Parser

from mimamori import process
from tests.integration.test_review_app import free_port

ROOT: Final = Path(__file__).parents[2]
HOW_TO: Final = ROOT / "docs" / "how-to"
BASH: Final = shutil.which("bash") or "/bin/bash"
BACKGROUND: Final = re.compile(r"\bmimamori (run --shadow|run|review)\b")
HEALTH: Final = {
    "run": "MIMAMORI_HEALTH_PORT",
    "run --shadow": "MIMAMORI_HEALTH_PORT",
    "review": "MIMAMORI_REVIEW_HEALTH_PORT",
}


@dataclass
class Shell:
    """One reader's terminal. `between` is called before each block, and once at the end."""

    folder: Path
    prefix: str
    environment: dict[str, str]
    happens: Mapping[str, Callable[[], None]]
    between: Callable[[], None] = lambda: None
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    printed: str = ""
    _skip: bool = False
    _ends_with: int = 0

    def read(self, page: Path) -> None:
        """Run the page from its top to its end. Raises AssertionError that names the line."""
        document = Document.parse(str(page), *self._parsers())
        for example in document.examples():
            try:
                example.evaluate()
            except AssertionError as error:
                where = f"{page.relative_to(ROOT)}:{example.line}"
                raise AssertionError(f"{where}: {error}\n{self.logs()}") from None
        self.between()

    def end(self, *names: str) -> None:
        """End what runs in the background, all of it unless names are given. Each must end in order."""
        for name in names or tuple(self.running):
            running = self.running[name]
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0, f"{name} ended with {running.returncode}: {self.log(name)}"
            del self.running[name]  # only now: what does not end is killed with the test

    def kill(self) -> None:
        """End it as a crash would."""
        for running in self.running.values():
            running.kill()
            running.wait()
        self.running.clear()

    def metrics(self, name: str) -> str:
        """What one that runs in the background counts."""
        address = f"http://127.0.0.1:{self.ports[name]}/metrics"
        with urllib.request.urlopen(address, timeout=30) as answer:
            return str(answer.read().decode())

    def log(self, name: str) -> str:
        file = self._log(name)
        return file.read_text("utf-8", "replace")[-3000:] if file.exists() else ""

    def logs(self) -> str:
        return "\n".join(f"{name}: {self.log(name)}" for name in self.running)

    def type(self, source: str, ends_with: int = 0) -> str:
        """Run lines, up to the first fault; variables outlive them. Returns what was printed."""
        kept = self.folder / ".environment"
        lines = [f". {kept}" if kept.exists() else "", "set -euo pipefail", self._named(source)]
        script = "\n".join([*lines, f"export -p > {kept}"])
        done = subprocess.run(
            [BASH, "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == ends_with, f"exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, name: str, source: str) -> None:
        """Start it in the background, once the one that runs has ended, and wait until it is ready."""
        if name in self.running:
            self.end(name)
        port = self.ports[name] = free_port()
        given = self.environment | {HEALTH[name]: str(port)}
        kept = self.folder / ".environment"
        before = f". {kept}; export {HEALTH[name]}={port}" if kept.exists() else ""
        script = "\n".join([before, BACKGROUND.sub(r"exec mimamori \1", self._named(source))])
        with self._log(name).open("ab") as log:
            started = subprocess.Popen(
                [BASH, "-c", script], cwd=self.folder, env=given, stdout=log, stderr=log
            )
        self.running[name] = started
        self.environment[HEALTH[name]] = str(port) if name != "run --shadow" else given[HEALTH[name]]
        process.await_ready(started, port, self._log(name), 90)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '')}.log"

    def _named(self, source: str) -> str:
        return re.sub(r"\bmimamori\.(?=[a-z])", self.prefix, source)

    def _parsers(self) -> tuple[Parser, ...]:
        return (
            lambda document: self._regions(document, FencedCodeBlockLexer("sh"), self._block),
            lambda document: self._regions(document, FencedCodeBlockLexer("text"), self._compare),
            lambda document: self._regions(
                document, DirectiveInHTMLCommentLexer("meanwhile|not run|exit code"), self._directive
            ),
        )

    @staticmethod
    def _regions(document: Document, lexer: Lexer, evaluate: Callable[[Example], None]) -> Iterator[Region]:
        for region in lexer(document):
            region.parsed = region.lexemes
            region.evaluator = evaluate
            yield region

    def _directive(self, example: Example) -> None:
        what = example.parsed["arguments"].strip()
        if example.parsed["directive"] == "not run":
            assert what, "say why"
            self._skip = True
        elif example.parsed["directive"] == "exit code":
            self._ends_with = int(what)
        else:
            self.happens[what]()

    def _block(self, example: Example) -> None:
        self.printed = ""
        ends_with, self._ends_with = self._ends_with, 0  # of this block alone
        if self._skip:
            self._skip = False
            return
        self.between()
        source = str(example.parsed["source"])
        found = BACKGROUND.search(source)
        if found:
            self.start(found[1], source)
        else:
            self.printed = self.type(source, ends_with)

    def _compare(self, example: Example) -> None:
        shown = self._named(str(example.parsed["source"])).strip()
        pattern = re.escape(shown).replace("…", ".*?")
        assert re.fullmatch(pattern, self.printed.strip(), re.DOTALL), (
            f"the page shows\n{shown}\nbut this was printed:\n{self.printed}"
        )
