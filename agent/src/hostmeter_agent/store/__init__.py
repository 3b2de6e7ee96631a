"""What is measured and not yet acknowledged, kept on disk."""
