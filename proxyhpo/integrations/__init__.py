"""Adapters to other libraries, one module per library; each needs that library installed.

=========================================  =====================================================
:mod:`proxyhpo.integrations.lightning`     trains a ``LightningModule`` with your ``Trainer``
:mod:`proxyhpo.integrations.transformers`  trains with your Hugging Face ``Trainer``
:mod:`proxyhpo.integrations.skorch`        trains with your ``NeuralNet``
:mod:`proxyhpo.integrations.optuna`        your Optuna objective, samplers and studies
=========================================  =====================================================
"""

__all__: list[str] = []
