"""An agent that asks another agent. Both stand behind Gatepost.

The planner's users have tokens for the planner; what it asks the searcher for, it asks
in its own name, with a token that is good for the searcher alone.
"""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from fastapi import FastAPI, HTTPException

from agent_token import AgentToken

app = FastAPI(title="A planner")
searcher = os.environ["SEARCHER_URL"]
tokens = AgentToken(
    endpoint=os.environ["ISSUER_URL"] + "/token",
    resource="https://searcher.example.com",
    client_id="planner",
    secret_file=os.environ["CLIENT_SECRET_FILE"],
    scope="search",
)


def search(question: str, again: bool = True) -> dict:
    token = tokens.get()
    request = Request(searcher + "/agent", json.dumps({"message": question}).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Bearer " + token)
    try:
        with urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except HTTPError as problem:
        if again and problem.code == 401 and json.load(problem).get("detail") == "Token has expired":
            tokens.refused(token)  # its clock is ahead of ours
            return search(question, again=False)
        raise HTTPException(502, f"The searcher answered {problem.code}") from None


@app.get("/plan")
def plan(about: str) -> dict:  # not async: urllib waits, and FastAPI gives it a thread
    return {"step 1": search(about)}
