"""``python -m covidcnn`` is the command line."""

from covidcnn.cli import main

if __name__ == "__main__":
    main()
