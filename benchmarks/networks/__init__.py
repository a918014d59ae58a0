"""Proxies of many kinds of networks."""
