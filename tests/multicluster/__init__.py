"""CustomResourceDefinitions from other clusters."""
