"""The Hugging Face hub as a source of files: what a study lacks is brought once, then everything runs without a network.

``datasets`` and ``huggingface_hub`` are imported in ``download`` only, and only when something is really brought.
"""
