"""What tests of trainings share: to interrupt one, and to compare what it left."""

import numpy as np

from covidcnn.training import fit


def interrupt_at(monkeypatch, at):
    """Ctrl-C at the end of batch ``at`` = (epoch, batch), counted from 0 and over all trainings from now on."""
    class Interrupting(fit.Keeper):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == at:
                raise KeyboardInterrupt

    monkeypatch.setattr(fit, "Keeper", Interrupting)


def assert_same_weights(one, two):
    for first, second in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
