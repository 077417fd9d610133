"""``python -m kcp``: the command line without an installed script."""

from kcp.cli.main import main

if __name__ == "__main__":
    main()
