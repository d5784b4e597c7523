"""The settings of a study as types: one model per section of the config, each with the checks that reach across keys.

Every key is declared once, here: its type, unit, range, default and meaning. ``config`` turns a file into these models
or into plain dictionaries; the JSON Schema for editors and docs/reference/configuration.md are generated from them.
"""
