"""Pascal VOC: XML files, masks and lists of image sets."""
