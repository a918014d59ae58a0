"""The proxy: a smaller network that stands in for the full one, made and measured."""

from proxyhpo.proxy.factory import NetworkFactory, Proxy

__all__ = ["NetworkFactory", "Proxy"]
