"""What there is, as OpenAPI 3.1 describes it: every hook, and our own pages. Values in, values out.

`document` is the whole; `hooks` and `own` say what can be asked for, `answers` what comes back,
`proofs` how senders prove who they are, and `bundle` what a payload must look like.
"""
