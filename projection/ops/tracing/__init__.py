"""Traces: what a node does with events and requests, as spans of OpenTelemetry, exported over OTLP."""
