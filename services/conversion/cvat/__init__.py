"""CVAT's XML files, of images and of videos."""
