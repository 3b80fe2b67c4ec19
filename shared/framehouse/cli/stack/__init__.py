"""The whole suite on one machine: two servers and six services, as processes of one supervisor.

`control` starts, finds and stops a suite; `supervisor` is the process that keeps it alive; `servers` says what is run.
"""
