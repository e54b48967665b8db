"""The command `attune`: one file a command, heavy imports on use."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

import typer

from attune.apps.cli import audit, evaluate, export, init, predict, serve, show, train
from attune.errors import AttuneError

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Threads that wait give their core away: on a shared machine spinning ones made a step five times slower."""

app = typer.Typer(
    name="attune",
    help="Tune, prove, pack and serve pretrained models on one ordinary machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    init.init,
    audit.audit,
    train.train,
    evaluate.evaluate,
    predict.predict,
    export.export,
    serve.serve,
    show.show,
):
    app.command()(command)


def main() -> None:
    """Runs the command line; an error a person can act on is one message and exit status 2, without a traceback."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except AttuneError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(
            "error: standard output: the disk is full\n  what to do: free space, or write elsewhere with --out\n"
        )
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has nowhere to go
        sys.exit(2)


if __name__ == "__main__":
    main()
