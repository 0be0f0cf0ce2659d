"""``ticklake`` and ``python -m ticklake`` are the command line."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C before it has begun ends the process without a traceback of imports."""
    # Whoever started this with Ctrl-C ignored, like a shell in the background, wants that kept.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ticklake.interfaces.cli.main import main as run

    if is_usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
