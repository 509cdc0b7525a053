# SPDX-License-Identifier: EUPL-1.2
"""Client certificates that certs/make-test-pki does not make: with dates of seconds, below authorities of their own,
or odd. Each is (certificate chain, key), as Visit takes them."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier


def _name(common):
    names = [common] if isinstance(common, str) else common
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "FOD Finance"),
                      *(x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names)])


class Authority:
    """One of the PKI's ca/NAME, or one below it."""

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    @staticmethod
    def of(world, name):
        home = world.pki / "ca"
        return Authority(x509.load_pem_x509_certificate((home / f"{name}.pem").read_bytes()),
                         serialization.load_pem_private_key((home / f"{name}.key").read_bytes(), None))

    @staticmethod
    def root(common):
        """One of its own, of today."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow().replace(microsecond=0)
        builder = (x509.CertificateBuilder()
                   .subject_name(_name(common)).issuer_name(_name(common)).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(minutes=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(True, None), True)
                   .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
        return Authority(builder.sign(key, hashes.SHA256()), key)

    def issue(self, common, valid_s=3600, begins_s=-60, is_authority=False, padding=0,
              usage=ExtendedKeyUsageOID.CLIENT_AUTH, key=None, uris=(), extensions=()):
        """(certificate, key). `common`: a name or several. `padding`: bytes of an extension that says nothing.
        `uris`: its alternative names; it then is a server's, too, as an SVID is. `extensions`: more of them, none critical."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow().replace(microsecond=0)
        builder = (x509.CertificateBuilder()
                   .subject_name(_name(common)).issuer_name(self.certificate.subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(seconds=begins_s))
                   .not_valid_after(now + datetime.timedelta(seconds=valid_s))
                   .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), True)
                   .add_extension(x509.KeyUsage(not is_authority, False, False, False, False, is_authority,
                                                is_authority, False, False), True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        if not is_authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([usage, ExtendedKeyUsageOID.SERVER_AUTH] if uris else [usage]), False)
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        if padding:
            private = ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612: numbers for examples
            builder = builder.add_extension(x509.UnrecognizedExtension(private, bytes(padding)), False)
        return builder.sign(self.key, hashes.SHA256()), key

    def below(self, common, **more):
        return Authority(*self.issue(common, is_authority=True, **more))

    def device(self, world, file, common="laptop-0009", above=(), **more):
        """A leaf in clients/FILE.pem with the authorities of `above` behind it."""
        leaf, key = self.issue(common, **more)
        certificate, private = world.client(file)
        pem = serialization.Encoding.PEM
        chain = [leaf, *(authority.certificate for authority in above)]
        certificate.write_bytes(b"".join(one.public_bytes(pem) for one in chain))
        private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return certificate, private


def ends_at(one):
    """The moment after which an authority, or the first certificate of a pair, is no longer valid, in Unix time."""
    certificate = one.certificate if isinstance(one, Authority) else x509.load_pem_x509_certificate(one[0].read_bytes())
    end = certificate.not_valid_after
    return end.replace(tzinfo=datetime.timezone.utc).timestamp()
