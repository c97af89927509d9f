"""kdasr: speech recognition by distillation, in stage recipes.

Method: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from kdasr import processor

__version__ = "0.1.0"

processor.choose_matrix_products()
