"""`python -m featherface`, where the command is not on the path."""

from featherface.cli import main

if __name__ == "__main__":
    main()
