"""The command line: a face. It asks, shows and submits; deciding and remembering are other packages' duties.

``tailrace --help`` loads neither SQLAlchemy nor rich: each command's module is imported when it is invoked.
"""
