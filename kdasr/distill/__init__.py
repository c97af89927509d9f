"""Distillation: the loss, ensembles of teachers, and their soft targets."""
