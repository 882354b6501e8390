import numpy as np
import pytest

from breastseg.core.errors import WeightsError
from breastseg.core.network_recipe import NETWORKS, UNetSpec
from breastseg.networks.spec import (
    check_weights,
    initial_weights,
    multiply_adds,
    num_parameters,
    weight_table,
    without_training_heads,
)

SMALL = UNetSpec(channels=(4, 8), convolutions=1)


def names(spec):
    return [weight.name for weight in weight_table(spec)]


def shapes(spec):
    return {weight.name: weight.shape for weight in weight_table(spec)}


def test_a_small_network_by_hand():
    assert shapes(SMALL) == {
        "encoder.0.block.0.convolution.weight": (4, 1, 3, 3),
        "encoder.0.block.0.convolution.bias": (4,),
        "encoder.1.block.0.convolution.weight": (8, 4, 3, 3),
        "encoder.1.block.0.convolution.bias": (8,),
        "decoder.0.up.weight": (4, 8, 2, 2),
        "decoder.0.up.bias": (4,),
        "decoder.0.block.0.convolution.weight": (4, 8, 3, 3),
        "decoder.0.block.0.convolution.bias": (4,),
        "head.weight": (1, 4, 1, 1),
        "head.bias": (1,),
    }
    # 40 + 296 + 132 + 292 + 5
    assert num_parameters(SMALL) == 765


def test_the_work_of_a_small_network_by_hand():
    # at 16 x 16: 36 taps into 4 channels; up, one tap of each of 8 channels: 32; 288; the head: 4
    # at 8 x 8: 288
    assert multiply_adds(SMALL, (16, 16)) == (36 + 32 + 288 + 4) * 256 + 288 * 64
    # interpolation convolves with 9 taps instead
    wide = SMALL.model_copy(update={"upsampling": "interpolation"})
    assert multiply_adds(wide, (16, 16)) - multiply_adds(SMALL, (16, 16)) == (288 - 32) * 256


def test_names_are_canonical_and_once_only():
    for spec in NETWORKS.values():
        assert len(set(names(spec))) == len(names(spec))


@pytest.mark.parametrize(
    ("norm", "per_block", "trained"), [("none", 2, 2), ("group", 4, 4), ("batch", 6, 4)]
)
def test_normalisation_adds_its_weights_to_each_block(norm, per_block, trained):
    table = weight_table(UNetSpec(channels=(8, 16), convolutions=1, norm=norm))
    block = [weight for weight in table if weight.name.startswith("encoder.1.")]
    assert len(block) == per_block
    assert sum(weight.trained for weight in block) == trained


def test_running_statistics_are_no_parameters():
    plain, batch = (UNetSpec(channels=(8, 16), convolutions=1, norm=n) for n in ("none", "batch"))
    scales_and_biases = 2 * (8 + 16 + 8)
    assert num_parameters(batch) == num_parameters(plain) + scales_and_biases


def test_only_kernels_are_decayed():
    spec = UNetSpec(channels=(8, 16), norm="batch")
    for weight in weight_table(spec):
        assert weight.decayed == (len(weight.shape) == 4)


def test_interpolation_is_followed_by_a_3x3_convolution():
    spec = UNetSpec(channels=(4, 8), convolutions=1, upsampling="interpolation")
    assert shapes(spec)["decoder.0.up.weight"] == (4, 8, 3, 3)


def test_deep_supervision_adds_a_head_to_each_supervised_level_and_nothing_else():
    spec = UNetSpec(channels=(4, 8, 16, 32), convolutions=1)
    table = weight_table(spec, 2)
    added = {w.name: w.shape for w in table if w.name not in names(spec)}
    assert added == {
        "decoder.2.head.weight": (1, 16, 1, 1),
        "decoder.2.head.bias": (1,),
        "decoder.1.head.weight": (1, 8, 1, 1),
        "decoder.1.head.bias": (1,),
    }
    assert [weight for weight in table if weight.name not in added] == list(weight_table(spec))
    assert all(weight.trained for weight in table if weight.name in added)


def test_convolutions_are_counted_level_by_level():
    found = names(UNetSpec(channels=(4, 8, 16), convolutions=(1, 2, 3)))
    kernels = [n.rpartition(".block.")[0] for n in found if n.endswith("convolution.weight")]
    counts = {level: kernels.count(level) for level in dict.fromkeys(kernels)}
    assert counts == {
        "encoder.0": 1,
        "encoder.1": 2,
        "encoder.2": 3,
        "decoder.1": 2,
        "decoder.0": 1,
    }


def test_a_small_network_for_volumes_by_hand():
    spec = UNetSpec(
        dimensions=3,
        channels=(4, 8),
        convolutions=1,
        kernels=((1, 3, 3), (3, 3, 3)),
        strides=((1, 2, 2),),
    )
    kernels = {w.name: (w.shape, w.transposed) for w in weight_table(spec) if w.decayed}
    assert kernels == {
        "encoder.0.block.0.convolution.weight": ((4, 1, 1, 3, 3), False),
        "encoder.1.block.0.convolution.weight": ((8, 4, 3, 3, 3), False),
        "decoder.0.up.weight": ((4, 8, 1, 2, 2), True),
        "decoder.0.block.0.convolution.weight": ((4, 8, 1, 3, 3), False),
        "head.weight": ((1, 4, 1, 1, 1), False),
    }
    # 36 taps; up, one tap of each of 8 channels: 32; 288; the head: 4; below 864, on a fourth
    work = multiply_adds(spec, (4, 16, 16))
    assert work == (36 + 32 + 288 + 4) * 4 * 256 + 864 * 4 * 64


def test_interpolation_convolves_with_the_kernel_of_the_level_it_leads_to():
    spec = UNetSpec(
        dimensions=3,
        channels=(4, 8),
        upsampling="interpolation",
        kernels=((1, 3, 3), (3, 3, 3)),
    )
    up = next(weight for weight in weight_table(spec) if weight.name == "decoder.0.up.weight")
    assert up.shape == (4, 8, 1, 3, 3)
    assert not up.transposed


def test_input_channels_are_those_of_the_first_kernel():
    spec = UNetSpec(channels=(4, 8), input_channels=3)
    assert shapes(spec)["encoder.0.block.0.convolution.weight"] == (4, 3, 3, 3)


# --- first values -----------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_weights():
    first, second, other = (initial_weights(SMALL, seed) for seed in (1, 1, 2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    assert not np.array_equal(first["head.weight"], other["head.weight"])


def test_a_weight_is_drawn_alike_whatever_else_the_network_holds():
    deeper = initial_weights(UNetSpec(channels=(4, 8, 16), convolutions=1), 0)
    name = "encoder.1.block.0.convolution.weight"
    np.testing.assert_array_equal(initial_weights(SMALL, 0)[name], deeper[name])


def test_the_network_proper_starts_alike_with_and_without_deep_supervision():
    spec = UNetSpec(channels=(4, 8, 16), convolutions=1)
    plain, supervised = initial_weights(spec, 0), initial_weights(spec, 0, 1)
    assert supervised["decoder.1.head.weight"].any()
    kept = without_training_heads(supervised)
    assert kept.keys() == plain.keys() < supervised.keys()
    for name, array in plain.items():
        np.testing.assert_array_equal(kept[name], array)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("encoder.1.block.0.convolution.weight", 2 / (64 * 9)),
        ("decoder.0.up.weight", 1 / 128),
        ("decoder.0.block.0.convolution.weight", 2 / (128 * 9)),
    ],
)
def test_kernels_keep_the_variance_of_a_signal(name, variance):
    """He et al. 2015: 2 / fan-in before a ReLU; each output of `up` sees one tap."""
    array = initial_weights(UNetSpec(channels=(64, 128), convolutions=1), 0)[name]
    assert array.var() == pytest.approx(variance, rel=0.05)
    assert array.mean() == pytest.approx(0, abs=0.01)
    assert array.dtype == np.float32


@pytest.mark.parametrize("strides", [((2, 2, 2),), ((1, 2, 2),), ((2, 1, 1),)])
def test_kernels_of_volumes_keep_the_variance_too(strides):
    spec = UNetSpec(dimensions=3, channels=(32, 64), convolutions=1, strides=strides)
    weights = initial_weights(spec, 0)
    assert weights["decoder.0.up.weight"].shape == (32, 64, *strides[0])
    assert weights["decoder.0.up.weight"].var() == pytest.approx(1 / 64, rel=0.1)
    below = weights["encoder.1.block.0.convolution.weight"]
    assert below.var() == pytest.approx(2 / (32 * 27), rel=0.05)


def test_biases_are_0_and_scales_1():
    weights = initial_weights(UNetSpec(channels=(8, 16), norm="batch"), 0)
    for weight in weight_table(UNetSpec(channels=(8, 16), norm="batch")):
        expected = {"bias": 0, "mean": 0, "scale": 1, "variance": 1}.get(weight.role)
        if expected is not None:
            assert (weights[weight.name] == expected).all(), weight.name


# --- checking ---------------------------------------------------------------------------------


def test_its_own_weights_fit_in_any_order():
    weights = initial_weights(SMALL, 0)
    check_weights(SMALL, weights, source="here")
    check_weights(SMALL, dict(reversed(weights.items())), source="here")


def test_heads_belong_to_a_training_with_deep_supervision_alone():
    spec = UNetSpec(channels=(4, 8, 16), convolutions=1)
    plain, supervised = initial_weights(spec, 0), initial_weights(spec, 0, 1)
    check_weights(spec, supervised, source="here", deep_supervision=1)
    with pytest.raises(WeightsError, match=r"'decoder\.1\.head\.weight' is not one of its weights"):
        check_weights(spec, supervised, source="here")
    with pytest.raises(WeightsError, match=r"'decoder\.1\.head\.weight' is missing"):
        check_weights(spec, plain, source="here", deep_supervision=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("head.bias"), r"file: .*channels \(4, 8\): 'head\.bias' is missing"),
        (lambda w: w.update(more=np.zeros(1, np.float32)), r"'more' is not one of its weights"),
        (
            lambda w: w.update({"head.bias": np.zeros(2, np.float32)}),
            r"'head\.bias' must have the shape \(1,\), got \(2,\)",
        ),
        (lambda w: w.update({"head.bias": np.full(1, np.inf, np.float32)}), "finite numbers"),
        (lambda w: w.update({"head.bias": np.zeros(1, np.int32)}), "float32, got int32"),
        (lambda w: w.update({"head.bias": np.zeros(1, np.float64)}), "float32, got float64"),
    ],
)
def test_weights_that_do_not_fit_are_told_by_name(change, message):
    weights = initial_weights(SMALL, 0)
    change(weights)
    with pytest.raises(WeightsError, match=message):
        check_weights(SMALL, weights, source="file")
