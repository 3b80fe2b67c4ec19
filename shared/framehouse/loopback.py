"""Whether a host is this machine itself, so that nothing said to it travels."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Of an address, IPv6 in brackets or not, or a name; of names only `localhost` is."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
