"""Fine-tuning of pretrained networks and of their proxies."""
