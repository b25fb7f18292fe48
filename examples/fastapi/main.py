"""An agent without a line of authentication.

Whoever reaches this code has been verified: Gatepost's sidecar listens on the
pod's address, and the agent on 127.0.0.1 behind it. Who is asking stands in the
X-Auth-* headers, which no client can set.
"""

import asyncio
import json
from typing import AsyncIterator

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

app = FastAPI(title="A guarded agent")


class Message(BaseModel):
    message: str = Field(..., max_length=4000)


def identity(request: Request) -> dict[str, str]:
    """The identity headers of a request, in whatever spelling they came."""
    return {
        name: value
        for name, value in request.headers.items()
        if name.replace("_", "-").startswith("x-auth-")
    }


@app.post("/agent")
async def ask(message: Message, who: dict[str, str] = Depends(identity)) -> dict:
    name = who.get("x-auth-name") or who.get("x-auth-subject", "nobody")
    return {"reply": f"Hello {name}, you said: {message.message}", "identity": who}


@app.get("/stream")
async def stream(who: dict[str, str] = Depends(identity)) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        for word in f"one word at a time for {who.get('x-auth-subject', 'nobody')}".split():
            yield f"event: word\ndata: {json.dumps({'word': word})}\n\n"
            await asyncio.sleep(0.25)
        yield "event: done\ndata: {}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/admin/settings")
async def settings(who: dict[str, str] = Depends(identity)) -> dict:
    return {"model": "none, this is an example", "identity": who}


@app.get("/health")
async def health() -> dict:
    return {"status": "ok"}
