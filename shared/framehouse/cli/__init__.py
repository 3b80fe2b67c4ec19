"""The command `framehouse`, and the suite that it runs on one machine."""
