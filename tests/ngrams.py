"""An n-gram as its ARPA text tells it, read the plain way; several tests' oracle."""

Ngrams = dict[tuple[str, ...], tuple[float, float]]


def parse(text: str) -> Ngrams:
    """N-gram -> log10 probability and log10 back-off weight."""
    ngrams: Ngrams = {}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            fields = line.split()
            back_off = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
            ngrams[tuple(fields[1 : order + 1])] = (float(fields[0]), back_off)
    return ngrams


def probability(ngrams: Ngrams, history: tuple[str, ...], word: str) -> float:
    whole = (*history, word)
    if whole in ngrams:
        return float(10 ** ngrams[whole][0])
    if not history:
        return 0.0
    return float(10 ** ngrams.get(history, (0, 0.0))[1]) * probability(ngrams, history[1:], word)
