"""Answers each request with the route that Starlette chose for it."""

import json
import pathlib

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route


def endpoint(name):
    async def answer(request):
        return PlainTextResponse(name)

    return answer


def build(entries, prefix=""):
    routes = []
    for entry in entries:
        if "mount" in entry:
            routes.append(Mount(entry["mount"], routes=build(entry["routes"], prefix + entry["mount"])))
        else:
            routes.append(Route(entry["path"], endpoint((prefix + entry["path"]).encode("ascii", "backslashreplace").decode())))
    return routes


app = Starlette(routes=build(json.loads(pathlib.Path(__file__).with_name("routes.json").read_text("utf-8"))))
