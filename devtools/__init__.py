"""Programs that the tests and the benchmarks run beside kcp."""
