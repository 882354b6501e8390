"""One thread for TensorFlow, set before its first operation: bits differ between 1 and 2."""

import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
