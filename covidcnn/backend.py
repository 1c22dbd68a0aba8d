"""Keras and TensorFlow, imported without their noise: ``from covidcnn.backend import keras, tf``.

The environment variable ``KERAS_BACKEND`` names the backend; without TensorFlow's ``tf`` is None. Tried are
'tensorflow', the default, and 'jax', which trains this network on a GPU.
"""

from covidcnn.quiet import quiet

# While it loads, TensorFlow writes lines about missing graphics drivers.
with quiet():
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        # The search for devices, and its messages, would otherwise come with the first tensor.
        tf.config.list_logical_devices()
        # TensorFlow warns of tracing again and again; here every training has a model of its own to trace.
        tf.get_logger().setLevel("ERROR")
    else:
        tf = None
    if keras.config.backend() == "jax":
        import jax

        # On a GPU JAX would give float32 products ten of their 23 bits.
        jax.config.update("jax_default_matmul_precision", "float32")

__all__ = ["keras", "tf"]
