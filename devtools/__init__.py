"""What both the tests and the benchmarks run beside kcp."""
