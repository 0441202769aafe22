"""Performance, measured: ours and a peer interleaved in one run, ratios with their spread, versions recorded."""
