"""Specialists (section 5): confusable subsets of the classes, nets that know one each, and their joint prediction."""
