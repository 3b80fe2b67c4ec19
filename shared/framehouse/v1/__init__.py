"""Stubs generated from protos/framehouse/v1 by `make protos`; do not edit."""
