"""What the plugin costs, measured: `python -m benchmarks`, or one of them with `python -m benchmarks NAME --quick`."""
