"""Ready to run: the flights demo, the benchmarks, the console."""
