"""`attune serve`: a bundle behind HTTP on loopback, with a key."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from attune.apps.cli.common import Json, emit, note
from attune.core.extras import require
from attune.errors import RecipeError

BundlePath = Annotated[Path, typer.Argument(help="The bundle's folder.")]
Host = Annotated[str, typer.Option(help="Loopback address to bind to.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")]
Root = Annotated[Path | None, typer.Option("--data-root", help="Where a backbone by folder name is looked up.")]

KEY = "ATTUNE_API_KEY"


def serve(
    bundle: BundlePath, host: Host = "127.0.0.1", port: Port = 8000, data_root: Root = None, as_json: Json = False
) -> None:
    """Serve a bundle on loopback. The key is taken from ATTUNE_API_KEY, or made and printed."""
    loopback(host)
    for module in ("fastapi", "fastapi_swagger", "uvicorn"):
        require(module, "serve")
    import uvicorn

    from attune.apps.http.service import service
    from attune.model.bundle import load
    from attune.serving.engine import Engine

    key = os.environ.get(KEY) or secrets.token_urlsafe(24)
    engine = Engine(load(bundle, root=data_root))
    config = uvicorn.Config(service(engine, key), host=host, port=port, log_level="warning")
    listener = config.bind_socket()
    address = f"http://{host}:{listener.getsockname()[1]}"
    if as_json:
        emit({"address": address, "bundle": engine.bundle.digest, "key": None if KEY in os.environ else key})
    else:
        made = f"key from {KEY}" if KEY in os.environ else f"key {key}"
        note(f"serving {engine.bundle.digest[:12]} at {address}  ({made}; API page at {address}/docs)")
    uvicorn.Server(config).run(sockets=[listener])


def loopback(host: str) -> None:
    """Refuses an address that other machines could reach."""
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise RecipeError(
            f"{host!r} is not a loopback address", where="--host", expected="127.0.0.1, ::1 or localhost",
            remedy="put a reverse proxy with TLS in front of it to be reached from outside",
        )  # fmt: skip
