"""What a sweep of a scheme needs: the model, what its variants hold beside it, and what they keep in main memory."""

from collections.abc import Collection

from smdl.compression import weights
from smdl.compression.scheme import FLOAT, Scheme
from smdl.models.shape import Need, Shape


def need_of_sweep(variants: Collection[Scheme], shape: Shape, batch_size: int, context: int) -> Need:
    """Memory of a job over all ``variants`` of a scheme, ``batch_size`` blocks of ``context`` tokens at a time.

    The originals of a large model are on disk; of a small one they are a second copy.
    """
    model = FLOAT * shape.weights
    originals = model if model <= weights.KEPT_BYTES["cuda"] else 0
    passed = shape.passed(batch_size * context, FLOAT, gradient=False)
    # What is held while weights are made is gone when they are passed; what a variant keeps, when the next one comes.
    held = max(variant.held(shape, context) for variant in variants)
    return Need(model + originals + max(held, passed), max(variant.kept(shape) for variant in variants))
