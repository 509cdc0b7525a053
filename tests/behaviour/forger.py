# SPDX-License-Identifier: EUPL-1.2
"""Tokens as an attacker writes them: taken apart, put together otherwise, signed by whatever is at hand."""

import base64
import hashlib
import hmac
import json
import os
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def part(value):
    """An object, or text that is written as it stands (for what no library would write)."""
    text = value if isinstance(value, (str, bytes)) else json.dumps(value, separators=(",", ":"))
    return b64(text if isinstance(text, bytes) else text.encode())


def split(token):
    """(header, payload, signature) of a good token."""
    head, payload, signature = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(payload)), unb64(signature)


def number(value, length=32):
    return value.to_bytes(length, "big")


def raw(der):
    r, s = decode_dss_signature(der)
    return number(r) + number(s)


def der(signature):
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


class Signer:
    """A P-256 key of our own."""

    def __init__(self, kid="ours"):
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self):
        point = self.key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
                "x": b64(number(point.x)), "y": b64(number(point.y))}

    def sign(self, header, payload):
        signed = f"{part(header)}.{part(payload)}"
        signature = raw(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{b64(signature)}"

    def token(self, issuer, audience, header=(), payload=(), without=()):
        """A good access token, with changes; what is in `without` is left out of either part."""
        now = int(time.time())
        head = {"alg": "ES256", "typ": "at+jwt", "kid": self.kid, **dict(header)}
        body = {"iss": issuer, "aud": audience, "sub": "somebody", "client_id": "test", "jti": b64(os.urandom(9)), "iat": now, "exp": now + 300,
                "roles": ["staff"], **dict(payload)}
        return self.sign({k: v for k, v in head.items() if k not in without},
                         {k: v for k, v in body.items() if k not in without})


def with_own_provider(text, signer, issuer, more="", audience="own-api"):
    """The bundle with a provider `own` whose keys it holds itself, so that we sign what no real provider would. `more`:
    further lines of it."""
    lines = ["id: own", f"issuer: {issuer}", f"audiences: [{audience}]", *more.splitlines(),
             f"jwks: '{json.dumps({'keys': [signer.jwk]})}'"]
    block = "".join(f"  {'-' if line is lines[0] else ' '} {line}\n" for line in lines)
    return text.replace("device_authorities:\n", f"{block}device_authorities:\n", 1)


class Prover(Signer):
    """The key of a client that proves that it has it (RFC 9449)."""

    @property
    def public(self):
        return {name: self.jwk[name] for name in ("kty", "crv", "x", "y")}

    @property
    def thumbprint(self):
        return b64(hashlib.sha256(json.dumps(self.public, sort_keys=True, separators=(",", ":")).encode()).digest())

    def proof(self, method, url, token, header=(), payload=(), without=()):
        """A good proof, with changes."""
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.public, **dict(header)}
        body = {"jti": b64(os.urandom(12)), "htm": method, "htu": url, "iat": int(time.time()),
                "ath": b64(hashlib.sha256(token.encode()).digest()), **dict(payload)}
        return self.sign({k: v for k, v in head.items() if k not in without},
                         {k: v for k, v in body.items() if k not in without})


def public_of(jwk):
    def whole(name):
        return int.from_bytes(unb64(jwk[name]), "big")

    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(whole("e"), whole("n")).public_key()
    return ec.EllipticCurvePublicNumbers(whole("x"), whole("y"), ec.SECP256R1()).public_key()


def forms_of(jwk):
    """The bytes that somebody could take for a secret: every usual way of writing this public key."""
    form, key = serialization.PublicFormat, public_of(jwk)
    forms = {"PEM": key.public_bytes(serialization.Encoding.PEM, form.SubjectPublicKeyInfo),
             "DER": key.public_bytes(serialization.Encoding.DER, form.SubjectPublicKeyInfo),
             "JWK": json.dumps(jwk, separators=(",", ":")).encode(), "JWK with spaces": json.dumps(jwk).encode(),
             "kid": jwk["kid"].encode(), "nothing": b""}
    forms["PEM without its last line end"] = forms["PEM"].rstrip(b"\n")
    if jwk["kty"] == "RSA":
        forms["PKCS1"] = key.public_bytes(serialization.Encoding.PEM, form.PKCS1)
        forms["n"] = unb64(jwk["n"])
    else:
        forms["point"] = key.public_bytes(serialization.Encoding.X962, form.UncompressedPoint)
        forms["x"] = unb64(jwk["x"])
    return forms


def hmac_signed(header, payload, secret, name="sha256"):
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), getattr(hashlib, name)).digest())}"


def thumbprint(path):
    """x5t#S256 of the first certificate in a PEM file."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return b64(certificate.fingerprint(hashes.SHA256()))
