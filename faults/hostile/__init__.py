"""What a hostile sender may send: single flipped bits, and JSON that parsers read in different ways."""
