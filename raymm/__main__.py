"""``python -m raymm`` is ``raymm``."""

from raymm.cli import main

if __name__ == "__main__":
    main()
