"""The command `attune`: one file a command, heavy imports on use."""

from __future__ import annotations

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
        app()
    except AttuneError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
