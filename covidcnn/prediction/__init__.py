"""A trained model on films of the user's own: ``covidcnn predict``."""
