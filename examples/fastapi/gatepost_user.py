"""Who is asking. Gatepost's sidecar verified it; no client can set these headers."""

import json
from typing import List, NamedTuple, Optional
from urllib.parse import unquote

from fastapi import HTTPException, Request


class User(NamedTuple):
    id: str
    roles: List[str]
    organization_ids: List[str]
    org_role: Optional[str]
    software_background: Optional[str]
    hardware_tier: Optional[str]


def current_user(request: Request) -> User:
    def text(header: str) -> Optional[str]:
        values = request.headers.getlist("x-auth-" + header)
        return unquote(values[0]) if len(values) == 1 else None

    if request.scope["server"][0] not in ("127.0.0.1", "::1"):  # anybody could have come
        raise HTTPException(500, "This agent must listen on 127.0.0.1, behind its sidecar")
    if not text("subject"):
        raise HTTPException(401, "Not authenticated")
    roles, organizations = (json.loads(text(h) or "[]") for h in ("roles", "organization-ids"))
    return User(text("subject"), roles, organizations, *map(text, ("org-role", "software-background", "hardware-tier")))
