"""ValidatingWebhookConfigurations (admissionregistration.k8s.io/v1)."""

from kcp.builtin.types.admissionregistration.webhook_configurations import WebhooksStrategy


class ValidatingWebhookConfigurationStrategy(WebhooksStrategy):
    """ValidatingWebhookConfigurations."""
