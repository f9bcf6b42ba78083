"""Text → syntax tree, and back to text: parser, nodes, formatter."""
