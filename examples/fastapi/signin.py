"""An agent whose /docs page can sign in: with a password, or with an API key.

The two schemes check nothing. They tell readers of /openapi.json, the button "Authorize"
of /docs among them, where to get a token and which header takes a key. Who is let in is
for Gatepost's sidecar.
"""

import os

from fastapi import Depends, FastAPI, Request
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer

password = OAuth2PasswordBearer(tokenUrl=os.environ["ISSUER_URL"] + "/token", auto_error=False)
key = APIKeyHeader(name="X-API-Key", auto_error=False)

app = FastAPI(title="An agent with a login form", dependencies=[Depends(password), Depends(key)])


@app.get("/me")
async def me(request: Request) -> dict:
    return {"user": request.headers.get("x-auth-subject"), "client": request.headers.get("x-auth-client")}
