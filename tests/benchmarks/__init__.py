"""What benchmarks write down."""
