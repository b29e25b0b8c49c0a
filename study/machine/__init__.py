"""What there is to compute with and to keep things in: hardware, memory, arithmetic, files, caches."""
