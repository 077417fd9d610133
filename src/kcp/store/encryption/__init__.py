"""Encryption at rest: values are stored in the form in which kube-apiserver stores them with an EncryptionConfiguration."""
