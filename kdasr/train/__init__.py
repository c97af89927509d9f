"""Training: one loop for hard labels and soft targets, exact resume, accuracy."""
