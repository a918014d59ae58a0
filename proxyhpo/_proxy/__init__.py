"""The proxy, a smaller network that stands in for the full one: building and measuring it."""

from proxyhpo._proxy.factory import NetworkFactory
from proxyhpo._proxy.proxy import Proxy

__all__ = ["NetworkFactory", "Proxy"]
