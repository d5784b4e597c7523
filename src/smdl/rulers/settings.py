"""Section ``rulers``: what is measured of every checkpoint and laid beside its critical levels."""

from collections.abc import Iterator

from pydantic import Field, create_model

from smdl.compression.settings import Schemes
from smdl.rulers.registry import RULERS
from smdl.rulers.ruler import Ruler
from smdl.settings.base import Integer, Section, section


class _Rulers(Section):
    """The rulers that are laid beside the critical levels, and how they are compared."""

    bootstrap_resamples: Integer = Field(500, ge=100, le=10**6, description="Resamples behind each interval.")

    def enabled(self) -> dict[str, Ruler]:
        """The rulers that are taken, by name."""
        return {name: ruler for name in RULERS if (ruler := getattr(self, name)).enabled}


Rulers = create_model(
    "Rulers", __base__=_Rulers, __doc__=_Rulers.__doc__, **{name: (own, section()) for name, own in RULERS.items()}
)


def check_rulers(rulers: Rulers, schemes: Schemes) -> Iterator[str]:
    """The curves that rulers follow are measured."""
    for name, ruler in rulers.enabled().items():
        if ruler.follows:
            scheme = schemes.present().get(ruler.follows)
            variants = scheme.variants if scheme else {}
            if ruler.variant not in variants:
                none = f"none, as the scheme is not there; set rulers.{name}.enabled to false"
                listed = ", ".join(variants) or none
                yield (
                    f"rulers.{name}.variant: {ruler.variant!r} is not a variant of the scheme {ruler.follows}: {listed}"
                )
