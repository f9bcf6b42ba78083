"""The frame of the command line: help, exit statuses, errors as sentences, and what goes to stdout and to stderr."""

import os
import pty
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest
from patience import WITHIN_S
from warm_commands import warm_commands

import projection
from projection.cli.main import app


def commands(group, before=()):
    """The words of every command, those of a group's commands behind the group's."""
    context = click.Context(group)
    for name in sorted(group.list_commands(context)):
        yield (*before, name)
        if isinstance(command := group.get_command(context, name), click.Group):
            yield from commands(command, (*before, name))


COMMANDS = list(commands(app))

# Commands that end in every way there is, put beside the real ones.
ODD_COMMANDS = """
import os, signal, sys
from projection import errors
from projection.cli import console, main

@main.app.command()
def misconfigured():
    raise errors.ConfigurationError("setting `stream` is empty", hint="name a stream")

@main.app.command()
def failing():
    raise errors.StreamError("no server answers at nats://127.0.0.1:1")

@main.app.command()
def surprised():
    {}["nothing"]

@main.app.command()
def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()

@main.app.command()
def talkative():
    for _ in range(100_000):
        print("a line of output")

@main.app.command()
def terse():
    print("a short line")

@main.app.command()
def working():
    console._PLAIN_EVERY = console._BAR_EVERY = 0.0
    with console.progress("working", 1_000) as advance:
        for done in range(0, 1_001, 100):
            advance(done)
    console.note("worked")
    console.print_json({"done": 1_000})

main.main()
"""


def run(*arguments, program=None, **more_env):
    """The command as it is, or of a program that changes it first."""
    if program is None:
        return warm_commands().run(["projection", *arguments], Path.cwd(), {**os.environ, **more_env})
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        env={**os.environ, **more_env},
    )


def test_the_version_is_told_on_stdout():
    ended = run("--version")
    assert (0, f"projection {projection.__version__}\n", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_help_names_every_command_and_nothing_about_shell_completion():
    ended = run("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    for command in COMMANDS:
        if len(command) == 1:
            assert re.search(rf"^  {command[0]}  ", ended.stdout, re.MULTILINE)
    assert "completion" not in ended.stdout
    assert "Exit status: 0" in ended.stdout


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_help_is_plain_text_of_at_most_80_columns_when_it_is_piped(command):
    ended = run(*command, "--help", COLUMNS="200")
    assert ended.returncode == 0
    assert "\x1b" not in ended.stdout
    assert "\b" not in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    "group", [(), *sorted({command[:1] for command in COMMANDS if len(command) > 1})], ids=" ".join
)
def test_help_says_what_each_command_does_in_a_whole_sentence(group):
    shown = run(*group, "--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert shown
    assert [] == [line for line in shown if line.endswith(("...", "…")) or re.fullmatch(r"\s*\S+", line)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_shows_examples_one_a_line_that_name_it(command):
    ended = run(*command, "--help")
    examples = ended.stdout.partition("Examples:\n")[2].splitlines()
    assert examples
    assert all(example.strip().startswith(f"projection {' '.join(command)}") for example in examples)


def test_help_costs_little_time_for_it_loads_no_heavy_library():
    program = (
        "import atexit, sys\n"
        "heavy = {'nats', 'lmdb', 'lark', 'pydantic', 'rich', 'asyncio', 'msgspec'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "from projection.cli.main import main; main()"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = run("--help", program=program)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (ended.returncode, ended.stderr) == (0, "[]\n")
    # Seconds of CPU, measured 0.12: the bound leaves room for a slow machine and none for a heavy import.
    assert after.ru_utime - before.ru_utime < 0.5


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("--nonsense",), *[(*command, "--nonsense") for command in COMMANDS]], ids=" ".join
)
def test_an_unknown_command_or_option_is_wrong_usage(arguments):
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert arguments[-1] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_option_that_must_be_given_is_asked_for():
    ended = run("trace", "program.proj", "--events", "events.jsonl")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Missing option '--event'" in ended.stderr


def test_a_wrong_configuration_is_one_sentence_with_a_hint_and_status_2():
    ended = run("misconfigured", program=ODD_COMMANDS)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: setting `stream` is empty\n  hint: name a stream\n"


def test_work_that_failed_is_one_sentence_and_status_1():
    ended = run("failing", program=ODD_COMMANDS)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: no server answers at nats://127.0.0.1:1\n"


def test_a_bug_is_told_as_such_without_a_traceback():
    ended = run("surprised", program=ODD_COMMANDS)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "error: a fault of projection itself while running this command: KeyError: 'nothing', at" in ended.stderr
    assert "--traceback" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bug_shows_its_traceback_when_asked():
    ended = run("--traceback", "surprised", program=ODD_COMMANDS)
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr
    assert "KeyError: 'nothing'" in ended.stderr


def test_an_interrupt_ends_quietly_with_130():
    ended = run("interrupted", program=ODD_COMMANDS)
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + signal.SIGINT, "", "")


@pytest.mark.parametrize("command", ["talkative", "terse"])
def test_a_reader_that_goes_away_is_not_complained_about(command):
    # Buffered, whatever the environment of this test says: then the output fails at the very end as well.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as gone:
        ended = subprocess.run(
            [sys.executable, "-c", ODD_COMMANDS, command],
            check=False,
            stdout=gone,
            stderr=subprocess.PIPE,
            timeout=WITHIN_S,
            env=buffered,
        )
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_results_go_to_stdout_and_progress_goes_to_stderr_as_plain_lines():
    ended = run("working", program=ODD_COMMANDS)
    assert (ended.returncode, msgspec.json.decode(ended.stdout)) == (0, {"done": 1_000})
    lines = ended.stderr.splitlines()
    assert lines[-1] == "worked"
    assert all(re.fullmatch(r"working: [\d,]+ of 1,000 events, [\d,]+ events/s", line) for line in lines[:-1])
    assert len(lines) > 1
    assert "\x1b" not in ended.stderr


def on_a_terminal(*arguments, **more_env):
    """What a terminal of 80 columns gets as stderr."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **more_env}
    with subprocess.Popen(
        [sys.executable, "-c", ODD_COMMANDS, *arguments], stdout=subprocess.PIPE, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        shown = b""
        while chunk := _read(master):
            shown += chunk
        stdout = process.stdout.read()
    os.close(master)
    return process.returncode, stdout, shown.decode()


def _read(descriptor):
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # a terminal ends with EIO, not with an empty read
        return b""


def test_on_a_terminal_there_is_a_bar_with_a_rate_and_stdout_is_still_for_machines():
    status, stdout, shown = on_a_terminal("working")
    assert (status, msgspec.json.decode(stdout)) == (0, {"done": 1_000})
    assert "1,000 of 1,000 events" in shown
    assert re.search(r"[\d,]+ events/s", shown)
    assert "\x1b[" in shown


def test_no_color_is_respected():
    colours = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert colours.search(on_a_terminal("working")[2])
    assert not colours.search(on_a_terminal("working", NO_COLOR="1")[2])
