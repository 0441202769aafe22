"""One's own text through a trained head or an encoder: rows in, JSON lines or vectors out, in constant memory."""
