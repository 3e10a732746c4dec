"""The server of the Model Context Protocol over HTTP."""

from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from sunwell.serve.http_door import DoorLimits, HttpDoor
from sunwell.serve.mcp_server.delegation_server import DelegationServer

PATH = "/mcp"


def door_of(server: DelegationServer, token: str, limits: DoorLimits | None = None) -> HttpDoor:
    """Return the door to *server* on 127.0.0.1 under ``/mcp``, for clients that have *token*."""
    limits = limits or DoorLimits()

    def app(names: list[str]) -> ASGIApp:
        return server.streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=limits.body_bytes,
            transport_security=TransportSecuritySettings(
                allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
            ),
        )

    return HttpDoor(app, {token: None}, limits)
