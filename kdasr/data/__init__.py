"""Examples: what every trainer eats, as columns of one table."""
