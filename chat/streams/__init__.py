"""Runs as streams of server-sent events: plain ASGI beside Django, so that an open stream holds no thread.

`exchange` answers one request, `following` hears what there is to tell, `runs` and `person` are what can be followed,
`ag_ui` is the same for clients of AG-UI, `routes` finds them.
"""
