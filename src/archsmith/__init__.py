"""archsmith finds, trains and ships the best neural network for a data set and a budget."""

__version__ = "0.1.0"
