"""`python -m fastnn`: demo trains on shipped data, info reports the build, predict uses a saved model."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fastnn.console import complain, say
from fastnn.words import unknown

_USAGE = """usage: python -m fastnn COMMAND

commands:
  demo     train on the digits in the package, and time a step against NumPy
  info     report the build, and the settings of this process
  predict  predict the rows of a file by a saved model; see predict --help"""


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
    if arguments and arguments[0] == "predict":
        from fastnn.commands import predict

        return predict.main(arguments[1:])
    if arguments in (["-h"], ["--help"]):
        say(_USAGE)
        return 0
    if len(arguments) == 1:
        complain(unknown("command", arguments[0], ["demo", "info", "predict"]))
    complain(_USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
