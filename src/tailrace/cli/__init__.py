"""The command line: one interface. It asks, shows and submits; deciding and storing are other packages' duties.

``tailrace --help`` loads neither SQLAlchemy nor rich: each command's module is imported when it is invoked.
"""
