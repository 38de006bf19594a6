"""How fast fastnn is: one file per question, one shared timer. Nothing here is a test.

Run from the root of the repository, as in `python -m benchmarks.train_step --help`.
"""
