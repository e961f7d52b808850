"""The model that answers without a language model: rules over the same tools, and words for what they return."""
