"""``python -m sunwell`` is the command ``sunwell``."""

from sunwell.cli.main import main

if __name__ == "__main__":
    main()
