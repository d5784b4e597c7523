"""A small real hub on 127.0.0.1: what the tests download from, without a network and without stand-ins."""
