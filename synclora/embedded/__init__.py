"""A small image-to-video backbone of this project's own: LTX-Video's classes, trained on two cores, for portraits of 128x128 at 17 frames."""
