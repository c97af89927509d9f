"""Language: lexicon, HMM topology, n-grams, training and decoding graphs."""
