"""`python -m fastnn`: demo trains on shipped data, info reports the build; the commands on files are in
`commands`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from fastnn.console import complain, say
from fastnn.words import unknown

_COMMANDS = {
    "demo": "train on the digits in the package, and time a step against NumPy",
    "info": "report the build, and the settings of this process",
    "train": "train a model of a table, CSV or Parquet",
    "predict": "predict the rows of a file by a saved model",
    "evaluate": "compare the predictions of a model of a table with what is known",
    "report": "write a page of HTML about a model of a table",
}
_OF_FILES = ("train", "predict", "evaluate", "report")
_USAGE = "\n".join(
    [
        "usage: python -m fastnn COMMAND",
        "",
        "commands:",
        *(f"  {name:8}  {told}" for name, told in _COMMANDS.items()),
        "",
        f"{', '.join(_OF_FILES[:-1])} and {_OF_FILES[-1]} have --help; --version prints the version.",
    ]
)
_INTERRUPTED = 130  # of shells, for a program that Ctrl-C has ended


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    if len(arguments) == 1 and arguments[0] == "demo":
        from fastnn import demo

        demo.main()
        return 0
    if len(arguments) == 1 and arguments[0] == "info":
        from fastnn.config import show_config

        show_config()
        return 0
    if arguments and arguments[0] in _OF_FILES:
        command = importlib.import_module(f"fastnn.commands.{arguments[0]}")
        try:
            return int(command.main(arguments[1:]))
        except KeyboardInterrupt:
            complain(f"{arguments[0]}: interrupted")
            return _INTERRUPTED
    if arguments in (["-h"], ["--help"]):
        say(_USAGE)
        return 0
    if arguments == ["--version"]:
        from fastnn import __version__

        say(__version__)
        return 0
    if arguments and arguments[0] in _COMMANDS:
        complain(f"{arguments[0]}: expected no arguments, got {' '.join(arguments[1:])}")
    elif arguments:
        complain(unknown("command", arguments[0], _COMMANDS))
    complain(_USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
