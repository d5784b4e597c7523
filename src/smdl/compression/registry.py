"""From names and settings of the config to schemes."""

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from smdl.compression.scheme import Scheme
from smdl.compression.schemes.factorize import Factorize
from smdl.compression.schemes.gptq import Gptq
from smdl.compression.schemes.kmeans import KMeans
from smdl.compression.schemes.motifs import Motifs
from smdl.compression.schemes.noise import Noise
from smdl.compression.schemes.prune import Prune
from smdl.compression.schemes.prune_heads import PruneHeads
from smdl.compression.schemes.quantize import Quantize
from smdl.compression.schemes.round import Round
from smdl.compression.schemes.sequence import Sequence
from smdl.runtime.errors import StudyError

SCHEMES: dict[str, type] = {
    "quantize": Quantize,
    "round": Round,
    "kmeans": KMeans,
    "gptq": Gptq,
    "factorize": Factorize,
    "noise": Noise,
    "prune": Prune,
    "prune_heads": PruneHeads,
    "motifs": Motifs,
    "sequence": Sequence,
}


def build(name: str, settings: dict[str, Any], where: str = "compression") -> Scheme:
    """The scheme ``name`` with exactly the ``settings`` that its class declares.

    A scheme within a scheme is a dictionary of one key, its name. Raises StudyError, naming ``where`` in the config,
    for anything else.
    """
    where = f"{where}.{name}"
    if name not in SCHEMES:
        raise StudyError(f"{where}: no such scheme; there are {', '.join(SCHEMES)}")
    kind = SCHEMES[name]
    hints = get_type_hints(kind)
    expected = {field.name: hints[field.name] for field in fields(kind)}
    missing, unknown = sorted(set(expected) - set(settings)), sorted(set(settings) - set(expected))
    if missing or unknown:
        raise StudyError(f"{where}: missing {missing}, unknown {unknown}; the settings are {', '.join(expected)}")
    return kind(**{key: _value(expected[key], settings[key], f"{where}.{key}") for key in expected})


def _value(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the type ``hint``; whole numbers stand for floats, nothing else is converted."""
    if hint is Scheme:
        if not isinstance(value, dict) or len(value) != 1:
            raise StudyError(f"{where}: {value!r} is not one scheme; give its name, and below it its settings")
        ((name, own),) = value.items()
        return build(name, own, where)
    if choices := get_args(hint):
        if value not in choices:
            raise StudyError(f"{where}: {value!r} is none of {', '.join(map(str, choices))}")
        return value
    if isinstance(value, bool) != (hint is bool) or not isinstance(value, (int, float) if hint is float else hint):
        raise StudyError(f"{where}: {value!r} is not of type {hint.__name__}")
    return hint(value)
