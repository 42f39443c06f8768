"""Of which version the libraries are that an engine rests on."""

from importlib.metadata import version


def of_requests() -> str:
    """Return those of the engine on `requests`."""
    return ", ".join(f"{name} {version(name)}" for name in ("requests", "urllib3"))


def of_curl() -> str:
    """Return those of the engine on libcurl, which comes with pycurl, as does what it rests on itself.

    :raises ImportError: there is none.
    """
    # Only where it is wanted, as in `services.egress`.
    import pycurl

    return ", ".join(word.replace("/", " ") for word in pycurl.version.split()[:3])
