"""What is stored, kept safe and let go of: copies, bringing one back, and taking a person's data out."""
