"""Names of Keras and PyTorch that are not here: named as such, with the nearest in meaning."""

from __future__ import annotations

import importlib
import re

import cases
import numpy as np
import pytest

import fastnn
from fastnn import (
    activation_words,
    activations,
    elsewhere_tables,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
)
from fastnn.callbacks.base import CALLBACKS
from fastnn.layers.base import LAYERS
from fastnn.losses.base import LOSSES
from fastnn.registry import FAMILIES

# All public names of Keras 3.15, module by module.
KERAS = {
    "activations": """celu deserialize elu exponential gelu get glu hard_shrink hard_sigmoid
        hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6
        selu serialize sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
        sparsemax squareplus swish tanh tanh_shrink threshold""",
    "initializers": """Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity
        IdentityInitializer Initializer LecunNormal LecunUniform Ones Orthogonal
        OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal
        VarianceScaling Zeros constant deserialize get glorot_normal glorot_uniform he_normal
        he_uniform identity lecun_normal lecun_uniform ones orthogonal random_normal random_uniform
        serialize stft truncated_normal variance_scaling zeros normal one uniform zero""",
    "losses": """BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy
        CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle
        CosineSimilarity Dice Hinge Huber KLDivergence LogCosh Loss MeanAbsoluteError
        MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
        SparseCategoricalCrossentropy SquaredHinge Tversky binary_crossentropy
        binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy
        categorical_generalized_cross_entropy categorical_hinge circle cosine_similarity ctc
        deserialize dice get hinge huber kl_divergence log_cosh mean_absolute_error
        mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson
        serialize sparse_categorical_crossentropy squared_hinge tversky bce BCE kld KLD mae MAE mse
        MSE mape MAPE msle MSLE""",
    "metrics": """AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy
        CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score
        FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError Mean
        MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError
        MeanSquaredLogarithmicError Metric OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson
        Precision PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError
        SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy
        SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
        TopKCategoricalAccuracy TrueNegatives TruePositives binary_accuracy binary_crossentropy
        binary_focal_crossentropy categorical_accuracy categorical_crossentropy
        categorical_focal_crossentropy categorical_hinge concordance_correlation deserialize get
        hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error
        mean_squared_error mean_squared_logarithmic_error pearson_correlation poisson serialize
        sparse_categorical_accuracy sparse_categorical_crossentropy
        sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy acc accuracy
        crossentropy ce bce BCE mse MSE mae MAE mape MAPE msle MSLE""",
    "optimizers": """Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer
        MultiOptimizer Muon Nadam Optimizer OptimizerMap RMSprop SGD ScheduleFreeAdamW deserialize
        get legacy schedules serialize adadelta adafactor adagrad adam adamw adamax ftrl lamb lion
        muon nadam rmsprop sgd""",
    "layers": """Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
        AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
        AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
        AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
        Bidirectional CategoryEncoding CenterCrop Concatenate
        ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose
        Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution1DTranspose
        Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D
        Cropping2D Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot
        Dropout ELU EinsumDense Embedding Equalization Flatten FlaxLayer GRU GRUCell GaussianDropout
        GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
        GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
        GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
        GroupQueryAttention HashedCrossing Hashing Identity Input InputLayer InputSpec IntegerLookup
        JaxLayer LSTM LSTMCell Lambda Layer LayerNormalization LeakyReLU Masking MaxNumBoundingBoxes
        MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram
        Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
        RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter
        RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
        RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
        RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector
        Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D
        SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell
        Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
        SpectralNormalization StackedRNNCells StringLookup Subtract TFSMLayer TextVectorization
        TimeDistributed TorchModuleWrapper UnitNormalization UpSampling1D UpSampling2D UpSampling3D
        Wrapper ZeroPadding1D ZeroPadding2D ZeroPadding3D add average concatenate deserialize dot
        maximum minimum multiply serialize subtract""",
    "callbacks": """BackupAndRestore CSVLogger Callback CallbackList EarlyStopping History
        LambdaCallback LearningRateScheduler ModelCheckpoint OrbaxCheckpoint ProgbarLogger
        ReduceLROnPlateau RemoteMonitor SwapEMAWeights TensorBoard TerminateOnNaN""",
    "utils": """Config CustomObjectScope FeatureSpace Progbar PyDataset Sequence array_to_img
        audio_dataset_from_directory bounding_boxes clear_session custom_object_scope
        deserialize_keras_object disable_interactive_logging enable_interactive_logging
        get_custom_objects get_file get_registered_name get_registered_object get_source_inputs
        image_dataset_from_directory img_to_array is_interactive_logging_enabled is_keras_tensor
        legacy load_img model_to_dot normalize pack_x_y_sample_weight pad_sequences plot_model
        register_keras_serializable save_img serialize_keras_object set_random_seed split_dataset
        standardize_dtype text_dataset_from_directory timeseries_dataset_from_array to_categorical
        unpack_x_y_sample_weight""",
    "models": "Model Sequential clone_model load_model model_from_json save_model",
    "datasets": """boston_housing california_housing cifar10 cifar100 fashion_mnist imdb mnist
        reuters""",
    "": """DTypePolicy FloatDTypePolicy Function Initializer Input InputSpec KerasTensor Layer Loss
        Metric Model Operation Optimizer Quantizer Regularizer RematScope Sequential StatelessScope
        SymbolicScope Variable activations applications backend callbacks config constraints
        datasets device distillation distribution dtype_policies export initializers layers legacy
        losses metrics mixed_precision models name_scope ops optimizers preprocessing quantizers
        random regularizers remat saving tree utils version visualization wrappers""",
}
GETS = {
    "activations": activations.get,
    "initializers": initializers.get,
    "losses": losses.get,
    "metrics": lambda name: metrics.get(name, "labels"),
    "optimizers": optimizers.get,
    "layers": LAYERS.find,
    "callbacks": CALLBACKS.find,
}
FAMILY_OF = {"layers": "layer", "losses": "loss", "": "fastnn", "metrics": "metric"}
FAMILY_OF |= {name: name.removesuffix("s") for name in ("callbacks", "optimizers", "activations")}
FAMILY_OF |= {"initializers": "initializer"}
# Base classes, functions of the modules themselves, and what is no name of the family.
NO_NAMES = {
    "get",
    "serialize",
    "deserialize",
    "schedules",
    "Initializer",
    "Loss",
    "Metric",
    "Optimizer",
    "Layer",
}
NO_NAMES |= {"Callback", "CallbackList", "LambdaCallback", "LearningRateScheduler", "Input"}
# Classes of models, which are among the layers.
NO_NAMES |= {"Lambda", "ActivityRegularization", "Discretization"}


def raised(function, *arguments):
    """The message of a ValueError; nothing where there is none."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("module", GETS)
def test_no_name_of_keras_counts_as_misspelt(module):
    """Each is an object here, or told to be missing; a name here is never told to be missing."""
    for name in KERAS[module].split():
        if name in NO_NAMES:
            continue
        error = raised(GETS[module], name)
        if error and "has arguments without a default" not in error:
            assert re.match(rf"^\w+: '{name}' is not in fastnn; .", error), (name, error)


@pytest.mark.parametrize("module", KERAS)
def test_attributes_of_modules(module):
    place = importlib.import_module(f"fastnn.{module}" if module else "fastnn")
    for name in KERAS[module].split():
        if hasattr(place, name):
            continue
        with pytest.raises(AttributeError) as told:
            getattr(place, name)
        assert re.search(rf"has no attribute '{name}': .+", str(told.value)), str(told.value)
        with pytest.raises(ImportError) as told:
            exec(f"from {place.__name__} import {name}", {})  # noqa: S102
        assert str(told.value).startswith(f"cannot import name '{name}' from '{place.__name__}': ")
        assert re.search(
            r": (it is not in fastnn; |use |an activation is |a loss is |the accuracy )",
            str(told.value),
        )


@pytest.mark.parametrize(
    ("place", "name", "instead"),
    [
        (fastnn, "set_random_seed", "fastnn.utils.set_random_seed"),
        (fastnn, "manual_seed", "fastnn.utils.set_random_seed"),
        (fastnn, "clone_model", "fastnn.models.clone_model"),
        (fastnn, "optim", "fastnn.optimizers"),
        (fastnn, "no_grad", "predict"),
        (fastnn, "cuda", "device of compile"),
        (fastnn.nn, "Linear", "fastnn.layers.Dense"),
        (fastnn.nn, "CrossEntropyLoss", "fastnn.losses"),
    ],
)
def test_names_that_programs_of_torch_begin_with(place, name, instead):
    with pytest.raises(AttributeError, match=f"it is not in fastnn; use {instead}"):
        getattr(place, name)


def test_unknown_attributes_stay_as_they_are():
    assert not hasattr(layers, "SpectralNormalization")
    assert getattr(layers, "Conv2D", None) is None
    with pytest.raises(
        AttributeError, match=r"^module 'fastnn.layers' has no attribute 'Dens'$"
    ) as told:
        _ = layers.Dens
    assert told.value.name == "Dens"
    assert told.value.obj is layers
    with pytest.raises(ImportError, match=r"cannot import name 'Dens' from 'fastnn.layers' \("):
        from fastnn.layers import Dens  # noqa: F401
    with pytest.raises(AttributeError, match=r"has no attribute '__wrapped__'$"):
        _ = layers.__wrapped__


@pytest.mark.parametrize("module", GETS)
def test_advice_is_about_names_that_exist(module):
    """One word of advice is a name here; no entry is about a name that is here."""
    family = FAMILY_OF[module]
    known = set(FAMILIES[family].names) if family in FAMILIES else set(activation_words.known())
    known |= set(LOSSES.names) if family == "metric" else set()
    known |= {"accuracy"} if family == "metric" else set()
    flat = {name.replace("_", "").lower() for name in known} - {"accuracy"}
    for advice, names in elsewhere_tables.NAMES[family].items():
        assert " " in advice or advice in known, advice
        for name in names.split():
            assert name.replace("_", "").lower() not in flat, f"{name} is in fastnn"


EXAMPLES = [
    (lambda: losses.get("KLDivLoss"), "loss: 'KLDivLoss' .*; use 'kl_divergence'"),
    (lambda: losses.get("CrossEntropyLoss"), ".*; use 'sparse_categorical_crossentropy'"),
    (lambda: optimizers.get("RAdam"), "optimizer: 'RAdam' .*; use 'adam'"),
    (lambda: metrics.get("cosine_proximity", "values"), "metrics: .*; use 'cosine_similarity'"),
    (lambda: layers.Dense(3, "crelu"), "activation: 'crelu' .*; use 'elu'"),
    (lambda: layers.Dense(3, "sparsemax"), "activation: 'sparsemax' .*; use 'softmax'"),
    (lambda: fastnn.ops.activation_forward([1.0], "rrelu"), "activation: .*; use 'leaky_relu'"),
    (
        lambda: layers.Dense(3, kernel_initializer="xavier_normal_"),
        "kernel_initializer: 'xavier_normal_' .*; use 'glorot_normal'",
    ),
    (lambda: initializers.get("kaiming_normal_"), ".*; use 'he_normal'"),
    (lambda: LAYERS.find("SpectralNormalization"), "layer: .*; use 'LayerNormalization'"),
    (lambda: fastnn.config.device("gpu"), "device: 'gpu' is not in fastnn; use 'cuda'"),
    (lambda: fastnn.config.device("/GPU:0"), "device: '/GPU:0' is not in fastnn; use 'cuda'"),
    (lambda: fastnn.config.device("mps"), "device: 'mps' .*; fastnn computes on CPUs"),
]


@pytest.mark.parametrize("example", range(len(EXAMPLES)))
def test_examples(example):
    call, message = EXAMPLES[example]
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.get("mean_square_error"), "did you mean 'mean_squared_error'"),
        (lambda: optimizers.get("adm"), "did you mean 'adam'"),
        (lambda: layers.Dense(3, "rleu"), "did you mean 'relu'"),
        (lambda: initializers.get("glorot_unifrom"), "did you mean 'glorot_uniform'"),
        (lambda: metrics.get("acuracy", "labels"), "did you mean 'accuracy'"),
    ],
)
def test_misspelt_names_keep_their_near_match(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("word", ["auto", "batchmean"])
def test_reductions_of_keras(word):
    """Also when it is assigned; None is another word for "none"."""
    assert losses.Huber(reduction=None).reduction == "none"
    message = rf"^reduction: '{word}' is not in fastnn; use 'sum_over_"
    with pytest.raises(ValueError, match=message):
        losses.Huber(reduction=word)
    loss = losses.Huber()
    with pytest.raises(ValueError, match=message):
        loss.reduction = word
    with pytest.raises(ValueError, match=r"did you mean 'mean'"):
        losses.Huber(reduction="maen")


def test_metrics_get_as_in_keras():
    """Only "accuracy" depends on the targets."""
    assert isinstance(metrics.get("mae"), metrics.MeanAbsoluteError)
    assert isinstance(metrics.get(metrics.BinaryAccuracy), metrics.BinaryAccuracy)
    assert metrics.get("huber").name == "huber"
    with pytest.raises(ValueError, match=r"^metrics: 'Accuracy' is not in fastnn"):
        metrics.get("Accuracy")
    with pytest.raises(ValueError, match=r"^metrics: 'acc' depends .*SparseCategoricalAccuracy"):
        metrics.get("acc")


# -- attributes of models --------------------------------------------------------------------------

OF_MODELS = """to_yaml fit_generator predict_classes
    export state_dict parameters
    eval forward compute_output_shape compute_mask supports_masking jit_compile run_eagerly
    dtype_policy compute_dtype variable_dtype make_predict_function
    stateless_call zero_grad train score path"""
OF_LAYERS = """gamma_regularizer gamma_constraint add_loss add_weight
    input_spec dtype_policy variable_dtype enable_lora quantize weight in_features
    out_features state_dict parameters forward supports_masking path"""


@pytest.mark.parametrize("name", OF_LAYERS.split())
def test_attributes_of_layers(name):
    layer = layers.Dense(1)
    assert not hasattr(layer, name)
    with pytest.raises(AttributeError, match=rf"^'Dense' object .*'{name}': it is not in fastnn; "):
        getattr(layer, name)
    with pytest.raises(AttributeError, match=r"^'Dense' object has no attribute 'kernle'$"):
        layer.kernle  # noqa: B018


@pytest.mark.parametrize("name", OF_MODELS.split())
def test_attributes_of_models(name):
    model = fastnn.Sequential([layers.Dense(1)])
    assert not hasattr(model, name)
    with pytest.raises(
        AttributeError, match=rf"^'Sequential' object .*'{name}': it is not in fastnn; "
    ):
        getattr(model, name)


def test_properties_keep_their_messages():
    class Own(fastnn.Sequential):
        @property
        def told(self):
            raise AttributeError("a message of its own")

    model = Own([layers.Dense(1)])
    for name, message in (
        ("input_shape", "no shape until it is built"),
        ("told", "^a message of its own$"),
        ("nothing", r"^'Own' object has no attribute 'nothing'$"),
        ("_private", r"^'Own' object has no attribute '_private'$"),
    ):
        with pytest.raises(AttributeError, match=message):
            getattr(model, name)
    with pytest.raises(RuntimeError, match="not built"):
        _ = model.network


# -- keyword arguments -----------------------------------------------------------------------------


def fitted(**options):
    model = fastnn.Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    return model.fit(np.ones((4, 2)), np.ones(4), verbose=0, **options)


def called(method, **options):
    model = fastnn.Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    return getattr(model, method)(**options)


KEYWORDS = {
    "gamma_regularizer": (lambda: layers.Dense(3, gamma_regularizer="l2"), "weight_decay"),
    "gamma_constraint": (
        lambda: layers.Dense(3, gamma_constraint="non_neg"),
        "on_train_batch_end",
    ),
    "weights": (lambda: layers.Dense(3, weights=[1]), "set_weights"),
    "decay": (lambda: optimizers.SGD(decay=1e-6), "InverseTimeDecay.*weight_decay"),
    "betas": (lambda: optimizers.Adam(betas=(0.9, 0.999)), "beta_1 and beta_2"),
    "p": (lambda: layers.Dropout(p=0.5), "use 'rate'"),
    "bias": (lambda: layers.Dense(3, bias=False), "use 'use_bias'"),
    "in_features": (lambda: layers.Dense(3, in_features=4), "that of the input"),
    "ignore_index": (
        lambda: losses.SparseCategoricalCrossentropy(ignore_index=-1),
        "'ignore_class'",
    ),
    "label_smoothing": (
        lambda: losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
        r"CategoricalCrossentropy\(label_smoothing",
    ),
    "axis": (lambda: losses.CategoricalCrossentropy(axis=1), "the last axis"),
    "weight": (lambda: losses.CategoricalCrossentropy(weight=[1, 2]), "class_weight"),
    "nb_epoch": (lambda: fitted(nb_epoch=3), "use 'epochs'"),
    "workers": (lambda: fitted(workers=4), "set_num_threads"),
    "run_eagerly": (lambda: called("compile", loss="mse", run_eagerly=True), "native code"),
    "sparse": (lambda: layers.Input((3,), sparse=True), "dense"),
    "rms_scaling": (lambda: layers.LayerNormalization(rms_scaling=True), "standard deviation"),
    "from_sorted_ids": (
        lambda: metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=True),
        "scores",
    ),
    "reset_metrics": (lambda: called("train_on_batch", x=1, reset_metrics=False), "each call"),
    "positions": (lambda: called("summary", positions=[0.3]), "line_length"),
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_keywords_of_keras(keyword):
    call, advice = KEYWORDS[keyword]
    with pytest.raises(
        TypeError, match=rf"\(\) keyword argument: '{keyword}' is not in fastnn; .*{advice}"
    ):
        call()


def test_keywords_that_ask_for_nothing():
    """Keras's defaults, and settings of speed alone, may be written out."""
    layers.Dense(3, gamma_regularizer=None, beta_constraint=None, lora_rank=None)
    layers.Flatten(data_format="channels_last")
    layers.Dropout(0.5, noise_shape=None)
    layers.LayerNormalization(kernel_constraint=None, rms_scaling=False)
    metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=False)
    losses.CategoricalCrossentropy(axis=-1, dtype=None)
    optimizers.Adam(epsilon=None, decay=0.0)
    optimizers.Adam(ema_overwrite_frequency=None, gradient_accumulation_steps=None)
    layers.Input((3,), sparse=False, tensor=None)
    called("compile", loss="mse", jit_compile=True, run_eagerly=False, steps_per_execution=1)
    fitted(steps_per_epoch=None, validation_steps=None)
    config = {"units": 3, "gamma_regularizer": None, "gamma_constraint": None}
    assert layers.Dense.from_config(config).units == 3
    with pytest.raises(
        ValueError, match=r"^Dense.from_config: 'gamma_regularizer' is not in fastnn"
    ):
        layers.Dense.from_config({"units": 3, "gamma_regularizer": "l2"})
    for value in (0, np.zeros(1), np.zeros(3)):  # not taken for False or None
        with pytest.raises(TypeError, match="amsgrad"):
            optimizers.RMSprop(amsgrad=value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Input(shap=(3,)), r"^Input\(\) .*'shap', did you mean 'shape'"),
        (lambda: called("add", laier=1), r"^Sequential.add\(\) .*'layer'"),
        (lambda: called("build", inputshape=1), r"^Sequential.build\(\) .*'input_shape'"),
        (lambda: called("set_weights", weight=1), r"^Sequential.set_weights\(\) .*mean 'weights'"),
        (lambda: called("get_layer", nmae=1), r"^Sequential.get_layer\(\) .*'name'"),
        (lambda: called("summary", line_lenght=1), r"^Sequential.summary\(\) .*'line_length'"),
        (
            lambda: called("evaluate", x=1, sample_weights=1),
            r"^Sequential.evaluate\(\) .*'sample_weight'",
        ),
        (lambda: called("predict", x=1, batchsize=1), r"^Sequential.predict\(\) .*'batch_size'"),
        (lambda: called("train_on_batch", x=1, sampleweight=1), r"_on_batch\(\) .*'sample_weight'"),
        (lambda: called("value_and_grad", x=1, y=1, trainig=True), r"_grad\(\) .*'training'"),
        (lambda: layers.Dense(3).build(inputshape=1), r"^Dense.build\(\) .*'input_shape'"),
        (lambda: layers.Dense(3).set_weights(wieghts=1), r"^Dense.set_weights\(\) .*'weights'"),
        (
            lambda: fastnn.utils.to_categorical([1], num_clases=2),
            r"^to_categorical\(\) .*'num_classes'",
        ),
    ],
)
def test_near_matches_of_keywords(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_the_tables_are_read_for_messages_alone():
    """What is right needs no table: no import in the midst of making a model, also beside a fork."""
    done = cases.python(
        """
import sys
import numpy as np
import fastnn
from fastnn import layers
model = fastnn.Sequential([layers.Dense(4, "relu"), layers.Dropout(0.5), layers.Dense(2)])
before = set(sys.modules)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
x, y = np.ones((8, 3), np.float32), np.arange(8) % 2
model.fit(x, y, verbose=0, validation_split=0.5, callbacks=[fastnn.callbacks.EarlyStopping()])
model.evaluate(x, y, verbose=0), model.predict(x), model.add(layers.Dense(2))
fastnn.losses.Huber(), fastnn.optimizers.SGD(momentum=0.9), fastnn.metrics.R2Score()
print(sorted(set(sys.modules) - before))
"""
    )
    assert done.stdout.split() == ["[]"], done.stdout + done.stderr
