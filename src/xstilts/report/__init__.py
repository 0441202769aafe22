"""What people look at: rows of results and tables made from them."""
