"""Finds breast lesions in scans by segmentation."""

__version__ = "0.1.0"
