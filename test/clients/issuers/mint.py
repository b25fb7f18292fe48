"""Signs what it is told with PyJWT or python-jose, as mint.mjs does.

python3 mint.py pyjwt < {"secret": "...", "jobs": [{alg, key, kid, claims}]}
"""

import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PAIRS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS256": lambda: rsa.generate_private_key(65537, 3072),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def private_pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key) -> str:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


class PyJWT:
    def sign(self, job, key):
        import jwt

        headers = {"kid": job["kid"]} if job["kid"] else None
        return jwt.encode(job["claims"], key, algorithm=job["alg"], headers=headers)

    def publish(self, alg, key):
        from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

        if alg.startswith("ES"):  # PyJWT 2.6 cannot write these as JWK
            return PythonJose().publish(alg, key)
        writer = OKPAlgorithm if alg == "EdDSA" else RSAAlgorithm
        return json.loads(writer.to_jwk(key.public_key()))


class PythonJose:
    def sign(self, job, key):
        from jose import jwt

        headers = {"kid": job["kid"]} if job["kid"] else None
        return jwt.encode(job["claims"], key, algorithm=job["alg"], headers=headers)

    def publish(self, alg, key):
        from jose import jwk

        return jwk.construct(public_pem(key), alg).to_dict()


def main() -> None:
    library = {"pyjwt": PyJWT, "python-jose": PythonJose}[sys.argv[1]]()
    order = json.load(sys.stdin)
    keys = {}

    def key_of(job):
        if job["alg"] == "none":
            return ""
        if job["alg"].startswith("HS"):
            return order["secret"] if job["key"] == "own" else order["secret"][::-1]
        name = (job["key"], job["alg"])
        if name not in keys:
            keys[name] = PAIRS[job["alg"]]()
        return private_pem(keys[name])

    tokens = [library.sign(job, key_of(job)) for job in order["jobs"]]
    published = [
        {**library.publish(alg, key), "alg": alg, "kid": alg, "use": "sig"}
        for (whose, alg), key in keys.items()
        if whose == "own"
    ]
    print(json.dumps({"jwks": {"keys": published}, "tokens": tokens}))


main()
