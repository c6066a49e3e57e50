"""`python -m etlctl` is `etlctl`."""

from etlctl.cli.main import main

if __name__ == "__main__":
    main()
