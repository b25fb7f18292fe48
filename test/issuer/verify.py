"""Verifies tokens with PyJWT, as FastAPI programs do.

python3 verify.py < [{token, alg, jwks, secret, issuer, audience}]
prints [{ok, error, claims}].
"""

import json
import sys

import jwt


def verify(job):
    try:
        key = job["secret"]
        if job["jwks"]:
            key = jwt.PyJWKClient(job["jwks"]).get_signing_key_from_jwt(job["token"]).key
        claims = jwt.decode(
            job["token"],
            key,
            algorithms=[job["alg"]],
            audience=job["audience"],
            issuer=job["issuer"],
            options={"require": ["exp", "iat", "sub", "iss", "aud", "jti"]},
        )
        return {"ok": True, "claims": claims}
    except jwt.PyJWTError as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


json.dump([verify(job) for job in json.load(sys.stdin)], sys.stdout)
