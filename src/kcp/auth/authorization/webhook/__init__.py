"""Authorization by a webhook that answers SubjectAccessReviews, and the configuration of ordered authorizers.

Follows the Kubernetes pages "Webhook Mode" and "Using Authorization Config".
"""
