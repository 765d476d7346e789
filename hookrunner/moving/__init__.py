"""Moving here from adnanh/webhook: its hooks file read, and said in the words of hooks.yaml.

`foreign` reads the file, `rules` parts a trigger-rule into who may post and what is of
interest, `thin` writes the script that starts a command, `entries` puts a hook together.
"""
