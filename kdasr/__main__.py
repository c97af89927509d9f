"""`python -m kdasr`: the command `kdasr`, where its script is not on the path."""

from kdasr.cli import main

if __name__ == "__main__":
    main()
