"""Where do people look? Models of fixation density: building, training, scoring, predicting."""
