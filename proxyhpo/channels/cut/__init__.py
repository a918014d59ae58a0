"""Removes channels: each structure is planned once, then each network is scored and sliced."""
