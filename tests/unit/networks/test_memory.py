"""The estimate of a training step's memory, by hand and as a law."""

from breastseg.core.network_recipe import UNetSpec
from breastseg.networks.memory import training_bytes
from breastseg.networks.spec import weight_table


def num_weights(spec: UNetSpec) -> int:
    from math import prod

    return sum(prod(weight.shape) for weight in weight_table(spec))


def test_a_small_network_by_hand() -> None:
    spec = UNetSpec(channels=(2, 4), convolutions=1)
    # Level 0, 8 x 8: encoder, decoder and both joined (2 + 2 + 4 channels of 64 pixels).
    # Pooled to 4 x 4: 2 channels with places of 8 bytes. Level 1: 4 channels of 16 pixels.
    kept = (2 + 2 + 4) * 64 * 4 + 2 * 16 * (4 + 8) + 4 * 16 * 4
    passing = (4 + 2) * 64 * 4
    expected = 3 * (kept + passing) + num_weights(spec) * 4 * 4
    assert training_bytes(spec, (8, 8), 3) == expected


def test_normalisation_and_dropout_keep_more() -> None:
    plain = UNetSpec(channels=(8, 16), convolutions=1)
    normalised = plain.model_copy(update={"norm": "group"})
    dropping = plain.model_copy(update={"dropout": (0.5,)})
    more = training_bytes(normalised, (16, 16), 1) - training_bytes(plain, (16, 16), 1)
    extra = (num_weights(normalised) - num_weights(plain)) * 16
    assert more == (2 * 8 * 256 + 16 * 64) * 4 + extra
    assert training_bytes(dropping, (16, 16), 1) - training_bytes(plain, (16, 16), 1) == (
        3 * 8 * 256 * 4
    )


def test_features_grow_with_the_batch_and_weights_do_not() -> None:
    spec = UNetSpec(dimensions=3, channels=(4, 8, 8))
    one, two, four = (training_bytes(spec, (16, 16, 8), size) for size in (1, 2, 4))
    assert four - two == 2 * (two - one)
    assert training_bytes(spec, (16, 16, 8), 1, moments=0) == one - 2 * 4 * num_weights(spec)
