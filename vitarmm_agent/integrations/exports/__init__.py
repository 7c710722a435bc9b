"""Runs made elsewhere, as other programs export them."""
