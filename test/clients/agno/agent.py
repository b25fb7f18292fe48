"""An agent with the routes of AgentOS that the Agno client uses, its CORS middleware and
no authentication. GET and DELETE /__seen, asked directly, say what reached it.

A message of the form "words N MS" is answered by N words, one each MS milliseconds.
"""

import asyncio
import json
import time
import uuid
from typing import Any, AsyncIterator, Dict, List

from fastapi import FastAPI, File, Form, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse

app = FastAPI()
seen: List[Dict[str, Any]] = []
runs: Dict[str, Dict[str, Any]] = {}  # by run id
kept = ("authorization", "cookie", "origin", "x-auth-subject", "x-auth-name")


class Recorder:
    """Notes each request and handshake before anything else sees it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan" and scope["path"] != "/__seen":
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            seen.append({
                "method": scope.get("method", "WEBSOCKET"), "path": scope["path"],
                "protocols": ", ".join(scope.get("subprotocols", [])),
                **{name: headers[name] for name in kept if name in headers},
            })
        await self.app(scope, receive, send)


@app.get("/__seen")
async def what_was_seen() -> Dict[str, Any]:
    return {"requests": seen, "runs": list(runs.values())}


@app.delete("/__seen")
async def forget() -> Dict[str, Any]:
    seen.clear()
    runs.clear()
    return {}


@app.get("/health")
async def health() -> Dict[str, str]:
    return {"status": "ok"}


@app.get("/agents")
async def agents() -> List[Dict[str, Any]]:
    return [{"id": "echo one", "name": "Echo", "db_id": "memory"}]


@app.get("/teams")
async def teams() -> List[Dict[str, Any]]:
    return []


@app.get("/memories")
async def memories() -> Dict[str, Any]:
    return {"data": [], "meta": {"page": 1, "limit": 20, "total_count": 0, "total_pages": 0}}


@app.patch("/sessions/{session_id}")
async def change_session(session_id: str, request: Request) -> Dict[str, Any]:
    return {"session_id": session_id, **(await request.json())}


@app.get("/sessions/{session_id}/runs")
async def session_runs(session_id: str) -> List[Dict[str, Any]]:
    return [
        {"run_id": r["run_id"], "run_input": r["message"], "content": r["content"], "created_at": r["created_at"],
         "status": "COMPLETED", "events": [{"event": "RunCompleted"}]}
        for r in runs.values() if r["session_id"] == session_id and r["end"] == "completed"
    ]


@app.post("/agents/{agent_id}/runs/{run_id}/cancel")
async def cancel(agent_id: str, run_id: str) -> Dict[str, Any]:
    runs[run_id]["cancel_called"] = True
    return {}


@app.post("/agents/{agent_id}/runs")
async def run(
    agent_id: str, message: str = Form(...), stream: bool = Form(...), session_id: str = Form(""),
    user_id: str = Form(""), files: List[UploadFile] = File([]),
) -> StreamingResponse:
    uploads = {f.filename: len(await f.read()) for f in files}
    note = {
        "run_id": str(uuid.uuid4()), "session_id": session_id or str(uuid.uuid4()), "message": message, "user_id": user_id,
        "files": uploads, "content": "", "created_at": int(time.time()), "end": "", "cancel_called": False,
    }
    runs[note["run_id"]] = note
    return StreamingResponse(answer(agent_id, note), media_type="text/event-stream")


async def answer(agent_id: str, note: Dict[str, Any]) -> AsyncIterator[str]:
    """The frames of a run; note["end"] says how it ended."""
    words, pause = ["you", "said:", *note["message"].split()], 0.02
    if note["message"].startswith("words "):
        _, count, ms = note["message"].split()
        words, pause = [f"word{i}" for i in range(int(count))], int(ms) / 1000

    def frame(event: str, **more: Any) -> str:
        data = {"event": event, "agent_id": agent_id, "agent_name": "Echo", "run_id": note["run_id"],
                "session_id": note["session_id"], "created_at": note["created_at"], **more}
        return f"event: {event}\ndata: {json.dumps(data)}\n\n"

    note["end"] = "running"
    try:
        yield frame("RunStarted", model="none", model_provider="none")
        for word in words:
            await asyncio.sleep(pause)
            note["content"] += word + " "
            yield frame("RunContent", content=word + " ", content_type="str")
        note["end"] = "completed"
        yield frame("RunCompleted", content=note["content"], content_type="str", metrics={})
    finally:
        if note["end"] == "running":
            note["end"] = "cancelled"


@app.websocket("/ws")
async def echo(ws: WebSocket) -> None:
    """Says who it is, then echoes; for a token in the handshake."""
    offered = ws.scope["subprotocols"]
    await ws.accept(subprotocol=offered[0] if offered else None)
    await ws.send_json({"subject": ws.headers.get("x-auth-subject"), "protocols": ", ".join(offered)})
    try:
        while True:
            await ws.send_text(await ws.receive_text())
    except WebSocketDisconnect as left:
        seen.append({"method": "LEFT", "path": "/ws", "code": left.code})


@app.websocket("/workflows/ws")
async def workflows(ws: WebSocket) -> None:
    """As AgentOS does it: the first message brings the token."""
    await ws.accept()
    first = await ws.receive_json()
    known = first.get("action") == "authenticate" and bool(first.get("token"))
    await ws.send_json({"event": "authenticated" if known else "auth_error"})
    await ws.close(1000 if known else 4401)


app.add_middleware(
    CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"], expose_headers=["*"],
)
app.add_middleware(Recorder)
