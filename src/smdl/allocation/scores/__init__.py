"""The scores, a file each, each from its source's own formula."""
