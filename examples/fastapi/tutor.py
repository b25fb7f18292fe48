"""A tutor that knows its pupil, without a line of authentication.

policy tutor-policy.yaml says who may call what; gatepost_user.py says who calls.
"""

from fastapi import Depends, FastAPI

from gatepost_user import User, current_user

app = FastAPI(title="A tutor")


@app.get("/api/me")
async def me(user: User = Depends(current_user)) -> dict:
    return user._asdict()


@app.get("/api/admin/settings")
async def settings(user: User = Depends(current_user)) -> dict:
    return {"model": "none, this is an example", "asked_by": user.id}


@app.get("/api/orgs/{org_id}/report")
async def report(org_id: str, user: User = Depends(current_user)) -> dict:
    return {"organization": org_id, "for": user.id, "as": user.org_role}


@app.get("/api/lesson")
async def lesson(user: User = Depends(current_user)) -> dict:
    start = "A first program" if user.software_background in (None, "none") else "Robots with ROS 2"
    where = "on your own GPU" if user.hardware_tier == "gpu" else "in the cloud"
    return {"title": f"{start}, {where}"}
