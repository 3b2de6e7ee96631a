"""What is true of policies whatever is stored of them: pure."""
