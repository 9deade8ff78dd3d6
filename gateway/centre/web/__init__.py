"""The centre's web page: server-rendered, live by server-sent events, no external hosts."""
