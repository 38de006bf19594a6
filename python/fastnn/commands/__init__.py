"""Commands of `python -m fastnn` that work on files."""
