"""What proxies save on a GPU."""
