"""Stands for AgentOS where Agno cannot be installed: what a guard has to know of it.

Measured with agno 2.9: JWTMiddleware(validate=False) believes any token and answers
401 without one, but on public routes; the form's user_id counts only without it; /mcp
wants a host name of the local machine; A2A believes X-User-ID of anonymous callers.
"""

import jwt
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse

app = FastAPI()
PUBLIC = ("/", "/health", "/info", "/slack/events")


@app.middleware("http")
async def claims(request: Request, call_next):
    request.state.user_id = None
    authorization = request.headers.get("authorization", "")
    if request.url.path not in PUBLIC:
        if not authorization:
            return JSONResponse({"detail": "Authorization header missing"}, 401)
        token = authorization[len("Bearer "):]
        request.state.user_id = jwt.decode(token, options={"verify_signature": False}).get("sub")
    return await call_next(request)


@app.post("/agents/{agent_id}/runs")
async def run(request: Request, agent_id: str, message: str = Form(""), user_id: str = Form(None)) -> dict:
    return {"agent": agent_id, "user": request.state.user_id or user_id}


@app.post("/a2a/agents/{agent_id}/v1/message:send")
async def send(request: Request, agent_id: str) -> dict:
    return {"agent": agent_id, "user": request.headers.get("x-user-id", request.state.user_id)}


@app.post("/mcp")
async def mcp(request: Request):
    if request.headers["host"].rsplit(":", 1)[0] not in ("localhost", "127.0.0.1", "[::1]"):
        return JSONResponse({"error": "invalid_host"}, 400)
    return {"user": request.state.user_id}


@app.get("/agents")
async def agents() -> list:
    return ["support", "sales"]


@app.get("/health")
@app.post("/slack/events")
async def public(request: Request) -> dict:
    return {"authorization": request.headers.get("authorization")}
