"""Iris with a class and a training loop of one's own: the program of many tutorials.

Only its first line differs from the original, `import tensorflow as tf`. Needs scikit-learn for
the data (150 flowers).
"""

import sys

import numpy as np

import fastnn as tf

try:
    from sklearn.datasets import load_iris
except ImportError:
    sys.exit(
        "ModuleNotFoundError: the data of this example come with scikit-learn; install it first"
    )


class NeuralNetwork(tf.keras.Model):
    """Two hidden layers and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden1 = tf.keras.layers.Dense(10, activation="relu", input_shape=(4,))
        self.hidden2 = tf.keras.layers.Dense(8, activation="relu")
        self.out = tf.keras.layers.Dense(3, activation="softmax")

    def call(self, inputs: object) -> object:
        return self.out(self.hidden2(self.hidden1(inputs)))


def main() -> None:
    tf.keras.utils.set_random_seed(1)
    x, y = load_iris(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y_one_hot = tf.keras.utils.to_categorical(y)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:120], order[120:]

    model = NeuralNetwork()
    loss_fn = tf.keras.losses.CategoricalCrossentropy()
    optimizer = tf.keras.optimizers.Adam(learning_rate=0.01)
    for epoch in range(60):
        for begin in range(0, len(train), 32):
            rows = train[begin : begin + 32]
            with tf.GradientTape() as tape:
                predictions = model(x[rows], training=True)
                loss = loss_fn(y_one_hot[rows], predictions)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        if epoch % 20 == 19:
            print(f"epoch {epoch + 1}: loss {loss.numpy():.4f}")

    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    predictions = model.predict(x[test])
    classes = tf.argmax(predictions, axis=1).numpy()
    accuracy = tf.keras.metrics.CategoricalAccuracy()
    accuracy.update_state(y_one_hot[test], predictions)
    print(
        f"{(classes == y[test]).sum()} of {len(test)} right, accuracy {accuracy.result().numpy():.3f}"
    )
    accuracy.reset_state()


if __name__ == "__main__":
    main()
