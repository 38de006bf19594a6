"""One process per contestant: `python -m benchmarks.workers.<name>` answers on its pipe."""
