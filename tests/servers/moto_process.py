"""moto's service as a program of its own: `python moto_process.py PORT READY`; READY is made once PORT is bound.

It prints nothing but errors, and keeps in memory what it is given: tests stay below 100 MB.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def main(port: int, ready: Path) -> None:
    """Serves until it is killed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for every request
    server = make_server(
        "127.0.0.1",
        port,
        DomainDispatcherApplication(create_backend_app),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    ready.touch()
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
