"""The only place where everything meets: drivers that perform effects, processes, signals, settings, wiring."""
