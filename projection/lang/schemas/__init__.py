"""Schemas for others: what views and events look like, as JSON Schema, TypeScript and pydantic; and the way back."""
