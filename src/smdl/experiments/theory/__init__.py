"""The singular theory of minimum description length as numbers: volumes, two-part codes and cells of known models."""
