"""Framehouse: computer-vision datasets, managed."""
