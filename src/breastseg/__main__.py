"""`python -m breastseg` and the command `breastseg`."""

from breastseg.cli import main

if __name__ == "__main__":
    main()
