"""The models that can be trained, what scores images, and the file a trained model travels in."""
