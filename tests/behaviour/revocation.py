# SPDX-License-Identifier: EUPL-1.2
"""An authority's CRLs and OCSP answers, good and bad, and a server that gives them out as it is told: at once, late,
wrong or not at all."""

import base64
import datetime
import http.server
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from devices import Authority

DER = serialization.Encoding.DER


def utc(seconds=0):
    return datetime.datetime.utcnow().replace(microsecond=0) + datetime.timedelta(seconds=seconds)


def make_crl(authority, revoked=(), number=1, life_s=3600, begins_s=-60, extensions=(), signer=None, reason=None,
             digest=None):
    """DER. `revoked`: serial numbers. `extensions`: (extension, is critical). `signer`: another authority's key."""
    builder = (x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
               .last_update(utc(begins_s)).next_update(utc(life_s)))
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(utc(-60))
        if reason:
            entry = entry.add_extension(x509.CRLReason(reason), False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign((signer or authority).key, digest or hashes.SHA256()).public_bytes(DER)


def point(**scope):
    """An issuing distribution point with everything off but what is given."""
    none = dict(full_name=None, relative_name=None, only_contains_user_certs=False, only_contains_ca_certs=False,
                only_some_reasons=None, indirect_crl=False, only_contains_attribute_certs=False)
    return x509.IssuingDistributionPoint(**{**none, **scope})


UNKNOWN_CRITICAL = (x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.32473.2"), b"\x05\x00"), True)


def make_answer(authority, leaf, status="good", life_s=3600, begins_s=-60, responder=None, certificates=(), about=None,
                digest=None):
    """DER of an OCSP answer. `responder`: the Authority-like pair that signs; `about`: another certificate's answer."""
    signer = responder or authority
    is_revoked = status == "revoked"
    builder = (ocsp.OCSPResponseBuilder()
               .add_response(about or leaf, authority.certificate, hashes.SHA1(),
                             getattr(ocsp.OCSPCertStatus, status.upper()), utc(begins_s),
                             None if life_s is None else utc(life_s), utc(-60) if is_revoked else None,
                             x509.ReasonFlags.key_compromise if is_revoked else None)
               .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate))
    if certificates:
        builder = builder.certificates(list(certificates))
    return builder.sign(signer.key, digest or hashes.SHA256()).public_bytes(DER)


def make_responder(authority, nocheck=True, usage=ExtendedKeyUsageOID.OCSP_SIGNING):
    """A certificate that the authority gave to somebody who answers for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (x509.CertificateBuilder()
               .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "responder")]))
               .issuer_name(authority.certificate.subject).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(utc(-60)).not_valid_after(utc(3600))
               .add_extension(x509.BasicConstraints(False, None), True)
               .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), False)
               .add_extension(x509.ExtendedKeyUsage([usage]), False))
    if nocheck:
        builder = builder.add_extension(x509.OCSPNoCheck(), False)
    return Authority(builder.sign(authority.key, hashes.SHA256()), key)


class StatusServer:
    """Plain HTTP on this machine. `answers[path]` is bytes, a status, or a function of the request's path that gives
    either; a path that is not there is looked for by its first segment. `delay_s` before each answer."""

    def __init__(self):
        self.answers, self.delay_s, self.asked = {}, 0, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                time.sleep(outer.delay_s)
                first = "/" + self.path.split("/")[1]
                found = outer.answers.get(self.path, outer.answers.get(first, 404))
                found = found(self.path) if callable(found) else found
                try:
                    self.send_response(found if isinstance(found, int) else 200)
                    body = b"" if isinstance(found, int) else found
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever asked has gone

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://idp.localhost:{self.port}{path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def request_of(path):
    """The OCSP request in a GET's path, such as /ocsp/MEUw..."""
    return ocsp.load_der_ocsp_request(base64.b64decode(urllib.parse.unquote(path.split("/", 2)[2])))
