"""Tables of complete trainings of five networks and of proxies of them, and searches on them."""
