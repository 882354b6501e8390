"""The command line as a user meets it, and one small run of each framework."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from breastseg.backends.protocol import FRAMEWORKS
from breastseg.cli import app
from breastseg.evaluation.scorecard_schema import check_document
from breastseg.workflows.phantom import make_ultrasound_phantoms

ONE_THREAD = ("--threads", "1")
SMALL = (
    *("--recipe", "smoke", "--set", "preprocessing.size=32", "--set", "network.channels=[8,8]"),
    *("--set", "optimisation.precision=float32"),
    *ONE_THREAD,
)


@dataclass(frozen=True)
class Answer:
    """What a command said; `told` is both streams, for messages."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        return self.out + self.err


Breastseg = Callable[..., Answer]


def run_in_process(*arguments: object) -> Answer:
    """Run a command in this process, where the frameworks are imported once."""
    logger = logging.getLogger("breastseg")
    handlers = list(logger.handlers)
    try:
        # A terminal so wide that no message is wrapped.
        result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "10000"})
    finally:
        logger.handlers = handlers
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def small() -> tuple[str, ...]:
    """Return the options of a training that takes a second."""
    return SMALL


@pytest.fixture(scope="session")
def breastseg() -> Breastseg:
    """Return a function that runs a command in this process."""
    return run_in_process


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own that takes SIGINT even if this one ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "breastseg", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "10000"},
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def process():
    """Return a function that starts a command in a process of its own."""
    started = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        started.append(start(*arguments))
        return started[-1]

    yield begin
    for each in started:
        if each.poll() is None:
            each.kill()
        each.communicate()


@pytest.fixture
def wait_for() -> Callable[[Path, "subprocess.Popen[str]"], None]:
    """Return a function that waits until a process has written a file, or fails if it ends."""

    def wait(path: Path, process: "subprocess.Popen[str]", seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not path.is_file():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, f"no {path.name} within {seconds} s"
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="session")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return eight phantoms that no run has seen."""
    folder = tmp_path_factory.mktemp("phantoms") / "elsewhere"
    return make_ultrasound_phantoms(folder, num_cases=8, seed=2)


@pytest.fixture(scope="session")
def runs(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return a run of two epochs for each framework; leave them as they are."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for framework in FRAMEWORKS:
        made[framework] = folder / framework
        answer = run_in_process(
            *("train", phantom_data, "--framework", framework, *SMALL),
            *("--set", "optimisation.epochs=2", "--output", made[framework]),
        )
        assert answer.code == 0, answer.told
    return made


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """Return each framework in turn."""
    return str(request.param)


@pytest.fixture
def run(runs: Mapping[str, Path], framework: str) -> Path:
    """Return the run of each framework in turn; leave it as it is."""
    return runs[framework]


@pytest.fixture
def run_copy(runs: Mapping[str, Path], tmp_path: Path) -> Path:
    """Return a copy of a run, to damage."""
    return Path(shutil.copytree(runs["pytorch"], tmp_path / "copy"))


@pytest.fixture
def evaluated(breastseg, tmp_path):
    """Return a function that runs `evaluate`: scorecard and page, or what was told of a refusal."""

    def evaluate(*arguments, code=0):
        output = tmp_path / "scorecard"
        options = ("--output", output, "--json", "--threads", 1)
        answer = breastseg("evaluate", *arguments, *options)
        assert answer.code == code, answer.told
        if code:
            return answer.told
        document = json.loads(answer.out)
        check_document(document)
        return document, (output / "scorecard.html").read_text()

    return evaluate
