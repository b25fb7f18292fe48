"""FastAPI's login form before Gatepost's issuer.

For clients that post their form to a /token of yours: OAuth2PasswordRequestForm reads it,
and the issuer compares the password, slows down who guesses, and signs. This program
knows no password hash and holds no key.
"""

import json
import os
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request as Call
from urllib.request import urlopen

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.security import OAuth2PasswordRequestForm

app = FastAPI(title="A login form")
issuer = os.environ["ISSUER_URL"]


@app.post("/token")
def token(request: Request, form: OAuth2PasswordRequestForm = Depends()) -> JSONResponse:
    fields = {"grant_type": "password", "username": form.username, "password": form.password}
    if form.scopes:
        fields["scope"] = " ".join(form.scopes)
    source = request.client.host if request.client else ""
    call = Call(issuer + "/token", urlencode(fields).encode(), {"X-Forwarded-For": source})
    try:
        with urlopen(call, timeout=10) as answer:
            return relay(answer.status, answer)
    except HTTPError as refusal:  # 400 invalid_grant, 429, 503: as the issuer says it
        return relay(refusal.code, refusal)


def relay(status: int, answer) -> JSONResponse:
    headers = {"Cache-Control": "no-store"}
    if "Retry-After" in answer.headers:
        headers["Retry-After"] = answer.headers["Retry-After"]
    return JSONResponse(json.load(answer), status, headers)
