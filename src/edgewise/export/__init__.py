"""Networks for machines without Python: integers instead of floats, and a C program that needs no library."""
