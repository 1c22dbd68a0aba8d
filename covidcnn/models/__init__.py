"""The paper's network, and the file a trained model travels in."""
