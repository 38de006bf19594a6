"""How fast fastnn is: one file per question, one shared timer. Nothing here is a test.

Run from the root of the repository. `--help` explains the options; `--save` keeps a result in `results/`.

    How long is a training step, beside the peers?       python -m benchmarks.train_step
    Are the published tables up to date? Else write them  python -m benchmarks.table [--check]
    How long is a training step on a GPU, and PyTorch's? python -m benchmarks.gpu
    How does time grow with batch, width, depth, cores?  python -m benchmarks.growth --plot growth.png
    What does a second thread gain, beside a busy core?  python -m benchmarks.threads
    Is the automatic session the best one?               python -m benchmarks.sessions
    How close is each op to the machine's limits?        python -m benchmarks.ops
    How exact are products at each precision?            python -m benchmarks.precision
    How long does a complete fit on Iris take?           python -m benchmarks.iris_epochs
    How long is a complete training, how accurate?       python -m benchmarks.fashion_mnist
    What does the import cost?                           python -m benchmarks.import_time

`NOTES.md` lists the optimizations that were tried, and their results.
"""
