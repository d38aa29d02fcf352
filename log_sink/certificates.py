"""Who vouches for the sink when it stands in for hosts of others?

Comes in: host names and addresses. Goes out: the certificate of an authority that was made for the occasion and is
thrown away, for a client that is to trust it, and a certificate of those hosts with its key, for the sink. The
authority's own key is never written down. Needs the package trustme; a sink that is given its certificate does not.
"""

from dataclasses import dataclass, field
from typing import Final

#: For webhooks: a name that nobody has (RFC 2606).
WEBHOOK_HOST: Final = "webhook.example.com"
#: Whom LiteLLM's callbacks for GCS and LangSmith write to, and this machine.
HOSTS: Final = (
    "storage.googleapis.com",
    "oauth2.googleapis.com",
    "api.smith.langchain.com",
    WEBHOOK_HOST,
    "localhost",
    "127.0.0.1",
)
AUTHORITY_FILE: Final = "ca.pem"
CERTIFICATE_FILE: Final = "sink.pem"


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the two ends of a TLS connection to the sink need.

    Args:
        hosts: whom the certificate is for.
        authority_pem: the authority's certificate, such as for SSL_CERT_FILE.
        key_and_certificate_pem: the sink's.
    """

    hosts: tuple[str, ...]
    authority_pem: str
    key_and_certificate_pem: str = field(repr=False)


def made_for(hosts: tuple[str, ...] = HOSTS) -> Certificates:
    """Make an authority, and have it vouch for these hosts.

    Args:
        hosts: names and addresses, at least one.

    Raises:
        ImportError: trustme is not installed.
        ValueError: there are none, or one cannot be in a certificate.
    """
    import trustme  # a sink that is given its certificate runs without it

    authority = trustme.CA(organization_name="log_sink, a throw-away authority")
    certificate = authority.issue_cert(*hosts)
    return Certificates(
        hosts, authority.cert_pem.bytes().decode(), certificate.private_key_and_cert_chain_pem.bytes().decode()
    )
