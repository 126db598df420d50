"""Binding gRPC to an address, in plain text or with TLS. Knows nothing of services."""

import grpc
from grpc import aio

from voxswap_server.auth.tls import Pem, TlsFiles


def listen(server: aio.Server, address: str, tls: TlsFiles | None) -> int:
    """Binds; the port, 0 for a unix socket.

    Raises:
        ConfigError: the files of TLS cannot be read.
        OSError: the address cannot be bound, or the certificate and the key are no pair.
    """
    try:
        if tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _credentials(tls))
    except RuntimeError as error:
        question = "is something else listening there" + (", or are certificate and key no pair?" if tls else "?")
        raise OSError(f"cannot listen on {address}: {question}") from error


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    """Certificates that are read anew for the first handshake after they changed."""
    first, changed = tls.read(), tls.changes()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        pem = changed()
        return _configuration(pem) if pem else None

    # grpcio takes None for "no change", as its documentation says; its stubs do not.
    return grpc.dynamic_ssl_server_credentials(
        _configuration(first),
        fetch,  # type: ignore[arg-type]
        require_client_authentication=tls.client_ca is not None,
    )


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.private_key, pem.certificate)], pem.client_ca)
