"""Limits under load: what a gateway holds, and for how long, when senders are many, slow, loud or false."""
