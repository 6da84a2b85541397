"""Notifiers to be given as callbacks: ``on_failure_callback=SlackWebhook(…)``."""

from tailrace.authoring.notifiers import Notifier, NotSent, ShellCommand, SlackWebhook, SmtpEmail, Webhook

__all__ = ["NotSent", "Notifier", "ShellCommand", "SlackWebhook", "SmtpEmail", "Webhook"]
