"""What leaves the store: a model as an ordinary folder with its card, or a submission."""
