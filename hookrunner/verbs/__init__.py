"""What people can ask of the program, a verb a module.

Each has `EXAMPLES` for its help, `add_arguments`, which says what it takes, and `run`, which
does it and returns the exit status: 0 done, 1 the user can mend it.
"""
