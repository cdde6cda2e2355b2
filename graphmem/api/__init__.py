"""The public verbs: one file each, options in, a frozen record out."""
