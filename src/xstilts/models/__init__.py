"""Encoders and their heads: packed or padded execution, Hugging Face folders in and out.

Nothing is imported here, so that ``xstilts.models.precision`` can be asked without torch.
"""
