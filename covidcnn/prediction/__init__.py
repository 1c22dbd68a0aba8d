"""A trained model on images of the user's own: ``covidcnn predict`` and ``covidcnn label``."""
