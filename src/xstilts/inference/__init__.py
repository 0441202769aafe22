"""What a trained model says: predictions, embeddings, neighbours, mined pairs."""
