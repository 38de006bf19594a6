"""The tables of `elsewhere`: names and keywords of Keras and PyTorch, by advice.

They are read only where a message needs them: imports of the package do without.
"""

from __future__ import annotations

# By family: advice, and the names that it is for. Advice of one word is a name: "use 'relu'".
NAMES: dict[str, dict[str, str]] = {
    "loss": {
        "binary_crossentropy": """BCELoss
            BCEWithLogitsLoss BCEWithLogits SoftMarginLoss HingeEmbeddingLoss
            MultiLabelMarginLoss MultiLabelSoftMarginLoss""",
        "categorical_crossentropy": "CategoricalGeneralizedCrossEntropy cce",
        "use 'binary_focal_crossentropy' or 'categorical_focal_crossentropy'": "FocalLoss focal",
        "kl_divergence": "KLDivLoss",
        "categorical_hinge": "MultiMarginLoss",
        "sparse_categorical_crossentropy": "CrossEntropyLoss CrossEntropy NLLLoss NLL LogLoss scce",
        "mean_squared_error": "MSELoss SquaredError L2 L2Loss RMSE RootMeanSquaredError",
        "cosine_similarity": "CosineEmbeddingLoss",
        "mean_absolute_error": "L1Loss L1 AbsoluteError",
        "huber": "SmoothL1Loss SmoothL1",
        "poisson": "PoissonNLLLoss",
        "it compares sequences or pairs of rows, and fastnn trains on rows one by one": """
            CTC CTCLoss Circle TripletMarginLoss TripletMarginWithDistanceLoss MarginRankingLoss
            AdaptiveLogSoftmaxWithLoss""",
    },
    "device": {
        "cuda": "gpu gpu:0 /gpu:0 cuda:0 /device:gpu:0",
        "cpu": "cpu:0 /cpu:0 /device:cpu:0",
        "fastnn computes on CPUs and on GPUs of NVIDIA": "mps tpu xpu xla",
    },
    "reduction": {
        "sum_over_batch_size": "auto batchmean sum_by_nonzero_weights",
    },
    "metric": {
        "accuracy": "Accuracy accuracy_score",
        "exact_match": "MultilabelExactMatch subset_accuracy",
        "auc": "AUROC roc_auc roc_auc_score",
        "use AUC(curve='PR')": "pr_auc auc_pr AUPRC",
        "average_precision": "average_precision_score",
        "f1_score": "dice_score",
        "matthews_correlation": "MatthewsCorrCoef",
        "use TopKCategoricalAccuracy(k), or SparseTopKCategoricalAccuracy(k) for labels": """
            top_k_accuracy top_k top5 top_5_accuracy top_k_accuracy_score""",
        "true_positives": "tp",
        "true_negatives": "tn",
        "false_positives": "fp",
        "false_negatives": "fn",
        "use MeanIoU, which takes outputs, with labels or one-hot targets": """
            IoU OneHotMeanIoU JaccardIndex jaccard jaccard_score""",
        "r2_score": """ConcordanceCorrelation PearsonCorrelation R2 pearsonr PearsonCorrCoef
            spearmanr SpearmanCorrCoef""",
        "cosine_similarity": "cosine_proximity",
        "use 'sparse_categorical_crossentropy', or the name of the loss": "crossentropy ce",
        "derive a metric from fastnn.metrics.Metric": "MeanMetricWrapper MeanTensor MeanRelativeError",
        "pass a function of (y_true, y_pred), which gets all rows of an epoch": """
            max_error median_absolute_error CalibrationError ece expected_calibration_error smape
            negative_predictive_value""",
    },
    "optimizer": {
        "rmsprop": "Rprop",
        "adam": "Adafactor RAdam SparseAdam AdaBelief",
        "use SGD(momentum=0.9)": "momentum",
        "adamw": "ScheduleFreeAdamW NAdamW",
        "sgd": "Ftrl MultiOptimizer",
        "use 'sgd' with use_ema=True": "ASGD",
        "float32 sums need no scaled losses; use the optimizer itself": "LossScaleOptimizer",
        "give learning_rate a schedule of fastnn.optimizers.schedules": """
            LearningRateSchedule lr_scheduler CosineDecay CosineDecayRestarts ExponentialDecay
            InverseTimeDecay PiecewiseConstantDecay PolynomialDecay StepLR CosineAnnealingLR
            OneCycleLR ReduceLROnPlateau ExponentialLR MultiStepLR LambdaLR PolynomialLR""",
        "use fastnn.optimizers": "legacy OptimizerMap",
    },
    "activation": {
        "relu": "ThresholdedReLU",
        "elu": "crelu",
        "leaky_relu": "prelu rrelu",
        "exponential": "exp",
        "sine": "sin",
        "softmax": "sparsemax softmin",
        "sigmoid": "logistic",
        "gelu_tanh": "gelu_approximate gelu_new quick_gelu",
        "glu": "swiglu geglu",
        "linear": "identity none",
    },
    "initializer": {
        "glorot_normal": "xavier_normal_ sparse_",
        "glorot_uniform": "xavier_uniform_",
        "he_normal": "kaiming_normal_",
        "he_uniform": "kaiming_uniform_",
        "truncated_normal": "trunc_normal_",
        "pass a function (shape, dtype) -> array, for example lambda shape, dtype: "
        "np.eye(*shape)": "dirac_ STFT STFTInitializer",
        "identity": "eye_",
    },
    "layer": {
        "Dense": "Linear Bilinear LazyLinear EinsumDense ReversibleEmbedding TimeDistributed",
        "LayerNormalization": "SpectralNormalization LayerNorm LocalResponseNorm",
        "GroupNormalization": "GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d",
        "BatchNormalization": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
        "RMSNormalization": "RMSNorm",
        "Dropout": """SpatialDropout1D SpatialDropout2D SpatialDropout3D Dropout1d Dropout2d
            Dropout3d""",
        "AlphaDropout": "FeatureAlphaDropout",
        "ReLU": "ReLU6 ThresholdedReLU",
        "LeakyReLU": "RReLU",
        "use Activation('threshold(...)')": "Threshold",
        "use Activation('hard_shrink')": "Hardshrink",
        "use Activation('soft_shrink')": "Softshrink",
        "use Activation('tanh_shrink')": "Tanhshrink",
        "Softmax": "Softmax2d Softmin",
        "use Activation('log_softmax')": "LogSoftmax",
        "use Activation('silu')": "SiLU Swish",
        "use Activation('hard_silu')": "Hardswish",
        "use Activation('mish')": "Mish",
        "use Activation('gelu')": "GELU",
        "use Activation('sigmoid')": "Sigmoid",
        "use Activation('glu')": "GLU",
        "use Activation('hard_sigmoid')": "Hardsigmoid",
        "use Activation('log_sigmoid')": "LogSigmoid",
        "use Activation('tanh')": "Tanh",
        "use Activation('hard_tanh')": "Hardtanh",
        "use Activation('softsign')": "Softsign",
        "use Activation('softplus')": "Softplus",
        "use Activation('celu')": "CELU",
        "use Activation('selu')": "SELU",
        "Reshape": "Unflatten",
        "give input_shape to the first layer": "InputSpec",
        "derive a layer from fastnn.layers.Layer": """Wrapper FlaxLayer JaxLayer TFSMLayer
            TorchModuleWrapper Pipeline""",
        "Embedding": "EmbeddingBag",
        "encode categories as whole numbers first, for Embedding or CategoryEncoding": """
            HashedCrossing Hashing IntegerLookup StringLookup TextVectorization""",
        "fastnn trains dense networks; put Flatten() before the first Dense": """
            Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Convolution1D
            Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D
            Convolution3DTranspose DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
            SeparableConvolution1D SeparableConvolution2D ConvTranspose1d ConvTranspose2d
            ConvTranspose3d Unfold Fold PixelShuffle
            AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
            AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D
            AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D MaxPool1D MaxPool2D
            MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D GlobalAveragePooling1D
            GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
            GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D
            GlobalMaxPooling2D GlobalMaxPooling3D AdaptiveAvgPool1d AdaptiveAvgPool2d
            AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
            Cropping1D Cropping2D Cropping3D ZeroPadding1D ZeroPadding2D ZeroPadding3D UpSampling1D
            UpSampling2D UpSampling3D Upsample""",
        "fastnn trains dense networks on rows, not on sequences": """
            Attention AdditiveAttention GroupQueryAttention MultiHeadAttention MultiheadAttention
            Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D GRU GRUCell LSTM LSTMCell Masking RNN
            RNNCell SimpleRNN SimpleRNNCell StackedRNNCells MelSpectrogram STFTSpectrogram
            Transformer TransformerEncoder TransformerDecoder TransformerEncoderLayer
            TransformerDecoderLayer""",
        "change the images before fit; Rescaling scales them in the gather": """
            AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix
            Equalization MaxNumBoundingBoxes MixUp RandAugment RandomBrightness
            RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
            RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale
            RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
            RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom Resizing
            Solarization""",
    },
    "callback": {
        "use ModelCheckpoint, or BackupAndRestore": "OrbaxCheckpoint",
        "write History.history, which fit returns, or use LambdaCallback(on_epoch_end=...)": """
            RemoteMonitor BaseLogger""",
    },
    "utils": {
        "read each file by load_img, and np.stack what img_to_array makes of them": (
            "image_dataset_from_directory"
        ),
        "pass arrays, whole or as memory maps": """split_dataset
            audio_dataset_from_directory
            text_dataset_from_directory timeseries_dataset_from_array pad_sequences""",
        "use model.plot(), or plot_model": "model_to_dot",
        "use fastnn.callbacks.ProgbarLogger": "Progbar",
        "encode columns first, for example with fastnn.utils.to_categorical": "FeatureSpace",
        "use verbose of fit": """disable_interactive_logging enable_interactive_logging
            is_interactive_logging_enabled""",
        "use urllib.request.urlretrieve": "get_file",
        "tensors are NumPy arrays here": "is_keras_tensor standardize_dtype get_source_inputs",
        "its functions have no likeness here": "Config bounding_boxes legacy",
    },
    "models": {
        "use fastnn.Model": "Functional",
        "use from_config of its class": "model_from_config",
    },
    "model": {
        "use save_weights() and load_weights()": "state_dict load_state_dict",
        "use to_json()": "to_yaml",
        "use fit, which takes generators, arrays and memory maps": "fit_generator",
        "use evaluate, which takes generators, arrays and memory maps": "evaluate_generator",
        "use predict, which takes generators, arrays and memory maps": "predict_generator",
        "use fit, which goes on from the weights and the optimizer's state": "partial_fit",
        "use predict(x).argmax(axis=1)": "predict_classes",
        "use predict(x)": "forward",
        "sums start anew with each epoch and each call": "reset_states",
        "use value_and_grad(x, y)": "compute_gradients backward stateless_compute_loss",
        "use predictor(), a frozen copy of the model": "export quantize eval",
        "derive a metric from fastnn.metrics.Metric": "add_metric",
        "use weights, a list of Variables": "parameters named_parameters",
        "use device of compile": "to cuda cpu",
        "use input_shape": "input_spec",
        "use output_shape": "compute_output_shape compute_output_spec",
        "use dtype": "dtype_policy compute_dtype variable_dtype input_dtype",
        "use loss": "compiled_loss",
        "use evaluate(..., return_dict=True)": "metrics_variables",
        "training is native code": "jit_compile run_eagerly distribute_strategy make_train_function "
        "make_test_function make_predict_function train_function test_function predict_function",
        "use predict of the model": "stateless_call symbolic_call",
        "use fit or train_on_batch": "zero_grad step train",
        "give sample_weight, with 0 for rows that do not count": "compute_mask supports_masking",
        "use optimizer": "compiled_optimizer",
        "use metrics": "compiled_metrics",
        "use evaluate(x, y)": "score",
        "use name": "path",
        "matmul_precision is the nearest setting": "quantization_mode",
    },
    "of a layer": {
        "use the optimizer's weight_decay": """kernel_regularizer bias_regularizer
            gamma_regularizer beta_regularizer""",
        "give activity_regularizer, or derive a layer from fastnn.layers.Layer": "add_loss",
        "write weights in a callback's on_train_batch_end": """kernel_constraint bias_constraint
            gamma_constraint beta_constraint""",
        "use input_shape": "in_features input_spec",
        "use output_shape": "out_features compute_output_spec",
        "use kernel": "weight",
        "use dtype": "dtype_policy variable_dtype input_dtype",
        "call the layer": "forward",
        "use name": "path",
        "derive a layer from fastnn.layers.Layer": "add_weight",
        "derive a metric from fastnn.metrics.Metric": "add_metric metrics",
        "matmul_precision of compile is the nearest setting": """quantize quantization_mode
            enable_lora lora_rank lora_enabled quantization_config""",
        "give sample_weight, with 0 for rows that do not count": "compute_mask supports_masking",
        "use get_weights() and np.savez, and set_weights()": """state_dict load_state_dict
            save_own_variables load_own_variables""",
        "use weights, a list of Variables": "parameters named_parameters",
    },
    "of a metric": {
        "use reset_state": "reset_states reset",
        "use variables": "weights trainable_variables",
        "call the metric, or update_state": "forward update compute",
        "use result": "get_result",
    },
    "datasets": {
        "use fastnn.datasets.load_digits() or load_yeast(), or load arrays with another library": """
            boston_housing california_housing cifar10 cifar100 fashion_mnist imdb mnist reuters""",
    },
    "fastnn": {
        "use fastnn.Model or fastnn.Sequential": "Function Functional",
        "use model.save(path) and fastnn.load_model(path)": "save_model save load saved_model train",
        "use fastnn.regularizers.Regularizer": "Regularizer",
        "use fastnn.GradientTape": "grad gradients hessians recompute_grad",
        "use fastnn.constant, fastnn.Variable or NumPy arrays": "KerasTensor tensor tree nest",
        "use fastnn.math for Tensors, or fastnn.ops for the kernels on arrays": """backend Operation
            StatelessScope SymbolicScope remat RematScope raw_ops ops""",
        "leave it out: names of layers are given by their name": "name_scope variable_creator_scope",
        "use fastnn.set_float32_matmul_precision, or dtype of Sequential": """dtype_policies
            DTypePolicy FloatDTypePolicy mixed_precision quantizers Quantizer quantization""",
        "use device of compile": "device distribution distribute tpu xla cuda set_device",
        "use fastnn.utils.set_random_seed": "set_random_seed manual_seed seed seed_everything",
        "use fastnn.models.clone_model": "clone_model clone",
        "use fastnn.optimizers": "optim",
        "use predict, which keeps nothing for gradients": "no_grad inference_mode",
        "use fastnn.layers.Layer": "Layer",
        "use fastnn.Model, with layers as attributes": "Module",
        "use fastnn.losses.Loss": "Loss",
        "use fastnn.metrics.Metric": "Metric",
        "use fastnn.optimizers.Optimizer": "Optimizer",
        "use fastnn.initializers": """Initializer zeros_initializer ones_initializer
            constant_initializer random_normal_initializer random_uniform_initializer""",
        "give input_shape to the first layer": "InputSpec",
        "use fastnn.__version__": "version",
        "operations compute at once: call them": """Session InteractiveSession placeholder compat Graph
            get_default_graph global_variables_initializer control_dependencies group no_op
            autograph""",
        "use the loops and conditions of Python": """while_loop cond case switch_case map_fn scan
            foldl foldr vectorized_map""",
        "use Python, NumPy or Pillow on the data before fit": """io image strings audio signal
            lookup feature_column string""",
        "use matmul or tensordot": "einsum",
        "use NumPy on the arrays": """unique searchsorted meshgrid bitwise bitcast sets
            histogram_fixed_width numpy_function py_function complex complex64 complex128 bfloat16
            linspace_nd experimental""",
        "arrays are dense": """sparse ragged SparseTensor RaggedTensor IndexedSlices TensorArray""",
        "use the shape of an array, a tuple": "TensorShape TensorSpec ensure_shape",
        "use gather, or index the Tensor": """gather_nd scatter_nd tensor_scatter_nd_update
            tensor_scatter_nd_add dynamic_partition dynamic_stitch""",
        "use assert, or np.testing": "debugging Assert assert_equal",
        """for the GPUs use fastnn.config.list_physical_devices("GPU"), which is empty without one, or
        fastnn.show_config(), which says why; for assertions np.testing""": "test",
        "write History.history, which fit returns, or use LambdaCallback": "summary profiler",
        "fastnn trains and serves dense networks alone": """applications distillation export
            legacy visualization wrappers estimator lite queue""",
    },
    "nn": {
        "use fastnn.layers.Dense": "Linear LazyLinear",
        "use fastnn.layers": "Dropout BatchNorm1d LayerNorm RMSNorm Embedding Flatten ReLU GELU Tanh",
        "use fastnn.Sequential": "Sequential ModuleList ModuleDict",
        "use fastnn.layers.Layer or fastnn.Model": "Module",
        "use fastnn.losses": "CrossEntropyLoss MSELoss L1Loss BCELoss BCEWithLogitsLoss NLLLoss",
        "use fastnn.Variable": "Parameter",
        "fastnn trains dense networks; flatten images first": """conv1d conv2d conv3d convolution
            conv2d_transpose depthwise_conv2d separable_conv2d max_pool max_pool2d avg_pool
            avg_pool2d pool""",
        "fastnn trains dense networks on rows, not on sequences": "ctc_loss RNNCellDropoutWrapper",
        "use fastnn.layers.LayerNormalization": "batch_normalization local_response_normalization",
        "use gather": "embedding_lookup",
        "use elu": "crelu",
        "use sigmoid_cross_entropy_with_logits": "weighted_cross_entropy_with_logits nce_loss "
        "sampled_softmax_loss log_poisson_loss",
        "use top_k": "in_top_k",
        "use reduce_mean": "compute_average_loss zero_fraction",
        "use silu": "hard_swish",
    },
    "math": {
        "use matmul or tensordot": "einsum",
        "use NumPy on the arrays": """bincount cumprod cumulative_logsumexp digamma igamma lgamma
            lbeta polygamma betainc zeta bessel_i0 bessel_i1 conj real imag angle polyval
            segment_sum segment_mean segment_max segment_min segment_prod unsorted_segment_sum
            unsorted_segment_mean invert_permutation nextafter erfinv erfcinv ndtri""",
        "use norm": "reduce_euclidean_norm",
        "use top_k": "in_top_k approx_max_k approx_min_k",
        "use where, beside the function": "xlogy xlog1py xdivy multiply_no_nan zero_fraction",
        "use exp and log": "acosh asinh atanh",
        "use abs": "scalar_mul",
    },
    "linalg": {
        "use NumPy's np.linalg on the arrays": """inv pinv det logdet slogdet solve lstsq svd eig eigh
            eigvals eigvalsh qr cholesky cholesky_solve lu trace matrix_rank expm logm sqrtm
            triangular_solve cross adjoint LinearOperator""",
        "use transpose": "matrix_transpose",
        "use fastnn.eye, and multiply": "diag diag_part set_diag tensor_diag band_part",
        "use matmul": "matvec einsum",
    },
    "random": {
        "use a generator of NumPy, and fastnn.constant": """gamma poisson stateless_normal
            stateless_uniform categorical stateless_categorical beta binomial randint
            log_uniform_candidate_sampler fixed_unigram_candidate_sampler
            learned_unigram_candidate_sampler uniform_candidate_sampler""",
        "give seed to the function, or call set_seed": """Generator SeedGenerator
            get_global_generator set_global_generator create_rng_state experimental split
            fold_in""",
        "use fastnn.nn.dropout": "dropout",
    },
    "backend": {
        "use fastnn.losses": """binary_crossentropy categorical_crossentropy
            sparse_categorical_crossentropy categorical_focal_crossentropy
            binary_focal_crossentropy""",
        "use fastnn.metrics": "in_top_k",
        "operations compute at once: call them": """function placeholder get_session set_session
            is_placeholder learning_phase set_learning_phase learning_phase_scope""",
        "use GradientTape": "gradients",
        "images are (height, width, channels)": "set_image_data_format",
        "use fastnn.math": "set_epsilon l2_normalize gather tile dtype in_train_phase in_test_phase",
        "fastnn trains dense networks alone": "conv1d conv2d conv3d pool2d pool3d rnn ctc_batch_cost",
    },
    "config": {
        "use fastnn.set_num_threads": "threading",
        "operations compute at once": "run_functions_eagerly functions_run_eagerly optimizer",
        "use device of compile, or FASTNN_DEVICE in the environment": """set_visible_devices
            get_visible_devices list_logical_devices set_soft_device_placement experimental
            LogicalDeviceConfiguration set_logical_device_configuration
            experimental_connect_to_cluster""",
        "use set_float32_matmul_precision": "enable_tensor_float_32_execution",
        "the same seed gives the same weights anyway": "enable_op_determinism",
        "use dtype of Sequential or Model": "floatx set_floatx epsilon set_epsilon",
    },
    "data": {
        "pass arrays to fit, which shuffles them and makes batches, or fastnn.data.Chunks where they "
        "are larger than memory; in a loop of your own slice them": """
            Dataset TFRecordDataset TextLineDataset FixedLengthRecordDataset AUTOTUNE Options
            Iterator experimental""",
    },
    "preprocessing": {
        "read each file by image.load_img, and np.stack what image.img_to_array makes of them": (
            "image_dataset_from_directory"
        ),
        "fastnn trains dense networks on rows, not on sequences": """sequence text
            text_dataset_from_directory timeseries_dataset_from_array""",
    },
    "image": {
        "read each file by load_img, and np.stack what img_to_array makes of them": """
            ImageDataGenerator DirectoryIterator DataFrameIterator NumpyArrayIterator Iterator
            image_dataset_from_directory""",
        "give load_img target_size and keep_aspect_ratio=True": "smart_resize",
        "change the arrays by NumPy or Pillow": """apply_affine_transform apply_brightness_shift
            apply_channel_shift random_brightness random_channel_shift random_rotation random_shear
            random_shift random_zoom""",
    },
}

# Advice for keyword arguments; of one word: the keyword here, where the function has it.
KEYWORDS: dict[str, str] = {
    "use the optimizer's weight_decay": """kernel_regularizer bias_regularizer gamma_regularizer
        beta_regularizer embeddings_regularizer""",
    "write weights in a callback's on_train_batch_end": """kernel_constraint bias_constraint
        gamma_constraint beta_constraint embeddings_constraint""",
    "use set_weights once the model is built": "weights",
    "use input_shape, without the batch axis": "batch_input_shape",
    "matmul_precision of compile is the nearest setting": "autocast quantization_config lora_rank "
    "lora_alpha",
    "every number of a row is dropped for itself": "noise_shape",
    "axes are taken in the order that the array has": "data_format",
    "use color_mode='grayscale'": "grayscale",
    "arrays are dense": "sparse ragged",
    "models here are chains of layers, which take one array": "tensor input_tensor optional",
    "the last axis is meant": "axis",
    "the dtype is that of the model": "dtype",
    "float32 sums need no scaled losses": "loss_scale_factor auto_scale_loss",
    "give learning_rate InverseTimeDecay(initial, 1, decay) of fastnn.optimizers.schedules; "
    "weight_decay is something else": "decay",
    "training is native code": "run_eagerly jit_compile steps_per_execution",
    "use fastnn.set_num_threads": "workers use_multiprocessing max_queue_size",
    "use line_length and print_fn": "positions show_trainable layer_range",
    "parameters are made as soon as their shapes are known": "rebuild",
    "scikit-learn's adjusted score needs the number of features": "num_regressors",
    "use class_weight of fit": "weight",
    "use CategoricalCrossentropy(label_smoothing=...) with one-hot targets": "label_smoothing",
    "use beta_1 and beta_2": "betas",
    "use center and scale": "elementwise_affine",
    "the shape is that of the input": "in_features normalized_shape num_features",
    "outputs are scores of classes, not sorted classes": "from_sorted_ids",
    "sums start anew with each call": "reset_metrics",
    "rows are divided by their standard deviation": "rms_scaling",
    "leave it out": "inplace maximize foreach fused capturable differentiable dampening",
    "input_shape": "batch_shape",
    "learning_rate": "lr",
    "negative_slope": "alpha",
    "rho": "alpha",
    "units": "out_features output_dim",
    "use_bias": "bias",
    "rate": "p",
    "epsilon": "eps",
    "ignore_class": "ignore_index",
    "reduction": "size_average reduce",
    "epochs": "nb_epoch n_epochs max_iter num_epochs",
    "kernel_initializer": "init",
    "activation": "nonlinearity",
}

# Such keywords mean that where the function has this other one, and may be misspelt elsewhere.
BESIDE = {"weight": "reduction", "weights": "trainable", "label_smoothing": "ignore_class"}

# Values of such keywords that ask for nothing: Keras's defaults, and settings of speed alone.
NOTHING: dict[str, tuple[object, ...]] = {
    "data_format": (None, "channels_last"),
    "sparse": (None, False),
    "ragged": (None, False),
    "optional": (False,),
    "autocast": (True, False),
    "axis": (-1,),
    "decay": (None, 0, 0.0),
    "auto_scale_loss": (True, False),
    "run_eagerly": (False,),
    "jit_compile": ("auto", True, False),
    "steps_per_execution": (1,),
    "workers": (1,),
    "use_multiprocessing": (False,),
    "max_queue_size": (10,),
    "show_trainable": (False,),
    "rebuild": (True,),
    "from_sorted_ids": (False,),
    "renorm": (False,),
    "synchronized": (False,),
    "double_checkpoint": (False,),
    "raise_error": (False,),
    "period": (1,),
    "reset_metrics": (True,),
    "rms_scaling": (False,),
    "num_regressors": (0,),
}
NONE = """kernel_regularizer bias_regularizer gamma_regularizer
    beta_regularizer embeddings_regularizer kernel_constraint bias_constraint gamma_constraint
    beta_constraint embeddings_constraint weights batch_input_shape batch_shape lora_rank lora_alpha
    quantization_config noise_shape tensor input_tensor dtype
    loss_scale_factor positions layer_range"""
