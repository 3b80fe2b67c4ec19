"""Tools of others, in environments of their own: to open what is written, and to measure against."""
