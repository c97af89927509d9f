"""Alignment: from a flat start to one transition id for each frame."""
