"""The two sides of each pair of benchmarks.pairs, beside each other; a peer imports its own."""
